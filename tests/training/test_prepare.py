"""A store is a pure function of its data set: however often it was stopped, by however many processes it is made."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ct_rate_files import CtRateFolder, save_lps
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare import embed
from simcrop_training.prepare.cli import main
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.workers import over_processes
from simcrop_training.store.files import shard_path
from simcrop_training.store.store import Store
from store_making import MINILM, QUICK, content_of, one_process, records_of

from simcrop_core.errors import CannotWrite
from simcrop_core.progress import Job


@pytest.fixture(scope="module")
def source(tmp_path_factory, coarse_chest):
    """Six scans of six patients, every one different."""
    made = CtRateFolder(tmp_path_factory.mktemp("six"))
    for number in range(1, 7):
        moved = np.roll(coarse_chest, number, axis=2)
        path = made.scan(f"train_{number}_a_1", findings=f"Trachea is open. Finding {number} is seen.", ZSpacing="4",
                         XYSpacing="[4, 4]")  # fmt: skip
        save_lps(path, moved, (4, 4, 4))
    return made.write()


@pytest.fixture(scope="module")
def straight(source, tmp_path_factory):
    """The store of an undisturbed run, and its report."""
    folder = tmp_path_factory.mktemp("straight") / "store"
    return folder, prepare(read_data_set(source), folder, QUICK, one_process)


_RUN = """
import sys
from pathlib import Path
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from store_making import QUICK, one_process
prepare(read_data_set(Path(sys.argv[1])), Path(sys.argv[2]), QUICK, one_process)
"""


def _started(source, folder):
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", _RUN, str(source), str(folder)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})


def test_a_killed_run_goes_on_where_it_stopped_and_ends_the_same(source, straight, tmp_path):
    folder = tmp_path / "store"
    process = _started(source, folder)
    while len(records_of(folder)) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.wait()
    before = records_of(folder)
    report = prepare(read_data_set(source), folder, QUICK, one_process)
    assert report.prepared + report.skipped == 6
    assert 2 <= report.skipped == len(before)
    assert before.items() <= records_of(folder).items()
    assert content_of(folder) == content_of(straight[0])


def test_two_processes_make_the_store_that_one_makes(source, straight, tmp_path):
    report = prepare(read_data_set(source), tmp_path / "store", QUICK, partial(over_processes, workers=2))
    assert report.prepared == 6
    assert content_of(tmp_path / "store") == content_of(straight[0])


def test_a_second_run_does_nothing_and_changes_nothing(source, straight, tmp_path):
    folder = Path(shutil.copytree(straight[0], tmp_path / "store"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.parent.name != "store"}
    report = prepare(read_data_set(source), folder, QUICK, one_process)
    assert (report.prepared, report.skipped) == (0, 6)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.parent.name != "store"}


def test_a_scan_that_changed_is_prepared_again_alone(source, straight, tmp_path, coarse_chest):
    own = Path(shutil.copytree(source, tmp_path / "source"))
    folder = Path(shutil.copytree(straight[0], tmp_path / "store"))
    save_lps(own / "dataset/train_fixed/train_3/train_3_a/train_3_a_1.nii.gz", coarse_chest, (4, 4, 4))
    report = prepare(read_data_set(own), folder, QUICK, one_process)
    # Copies keep the time of what they are of.
    assert (report.prepared, report.skipped) == (1, 5)
    digests = {v.name: v.digest for v in Store.open(folder).volumes}
    assert digests["train_3_a_1"] not in {v.digest for v in Store.open(straight[0]).volumes}


def test_lost_and_damaged_shards_are_made_anew(source, straight, tmp_path):
    folder = Path(shutil.copytree(straight[0], tmp_path / "store"))
    lost, cut, flipped = (shard_path(folder, v.digest) for v in Store.open(folder).volumes[:3])
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    content = bytearray(flipped.read_bytes())
    content[3000] ^= 1
    flipped.write_bytes(content)
    assert prepare(read_data_set(source), folder, QUICK, one_process).prepared == 2
    assert prepare(read_data_set(source), folder, QUICK, one_process, verify=True).prepared == 1
    assert content_of(folder) == content_of(straight[0])


def test_damaged_records_are_made_anew(source, straight, tmp_path):
    folder = Path(shutil.copytree(straight[0], tmp_path / "store"))
    first, second = sorted(folder.glob("records/*/*.json"))[:2]
    first.write_text("{")
    second.write_text("{}")
    assert prepare(read_data_set(source), folder, QUICK, one_process).prepared == 2
    assert content_of(folder) == content_of(straight[0])


def test_scans_that_are_refused_are_reported_once_and_for_all(ct_rate_source, tmp_path):
    data = read_data_set(ct_rate_source)
    first = prepare(data, tmp_path / "store", QUICK, one_process)
    again = prepare(data, tmp_path / "store", QUICK, one_process)
    for report in (first, again):
        assert [(note.name, note.code) for note in report.excluded] == [("train_2_a_1", "not-a-chest")]
        assert (report.scans, report.patients, report.studies) == (3, 2, {"train": 1, "valid": 1})
    assert (again.prepared, again.skipped) == (0, 3)
    written = json.loads((tmp_path / "store" / "report.json").read_text())
    assert written["excluded"][0]["name"] == "train_2_a_1"


def test_an_unreadable_file_is_tried_again(source, tmp_path):
    own = Path(shutil.copytree(source, tmp_path / "source"))
    path = own / "dataset/train_fixed/train_3/train_3_a/train_3_a_1.nii.gz"
    whole, stamp = path.read_bytes(), path.stat()
    path.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    report = prepare(read_data_set(own), tmp_path / "store", QUICK, one_process)
    assert [(note.name, note.code) for note in report.excluded] == [("train_3_a_1", "unreadable-file")]
    path.write_bytes(whole)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert prepare(read_data_set(own), tmp_path / "store", QUICK, one_process).excluded == []


def test_a_stop_leaves_what_was_stored(source, straight, tmp_path):
    job = Job(lambda step: job.cancel() if step.stage == "Preparing scans" and step.done == 2 else None)
    with pytest.raises(Exception, match="Stopped"):
        prepare(read_data_set(source), tmp_path / "store", QUICK, one_process, job=job)
    # A stop is heard at the step after it was asked for.
    assert len(records_of(tmp_path / "store")) == 3
    assert not list((tmp_path / "store").rglob(".*"))
    assert prepare(read_data_set(source), tmp_path / "store", QUICK, one_process).skipped == 3
    assert content_of(tmp_path / "store") == content_of(straight[0])


def test_embeddings_are_computed_once(source, straight, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(straight[0], tmp_path / "store"))
    embedded: list[str] = []
    load = embed.load_text_encoder

    def counting(config):
        encoder = load(config)
        encode = encoder.encode
        encoder.encode = lambda texts: (embedded.extend(texts), encode(texts))[1]
        return encoder

    monkeypatch.setattr(embed, "load_text_encoder", counting)
    monkeypatch.setattr(embed, "_BLOCK", 3)
    data = read_data_set(source)
    assert len(prepare(data, folder, QUICK, one_process, encoders=[MINILM]).embeddings) == 1
    assert sorted(embedded) == list(Store.open(folder).sentences)
    rows = Store.open(folder).embeddings(MINILM).copy()
    prepare(data, folder, QUICK, one_process, encoders=[MINILM])
    assert len(embedded) == len(rows) == 7
    assert np.array_equal(Store.open(folder).embeddings(MINILM), rows)
    assert not list(folder.glob("embeddings/parts/*"))


def test_another_encoder_is_added_and_none_is_lost(source, straight, tmp_path):
    """Until the sentences change: then the others' rows would be of other sentences."""
    folder, data = Path(shutil.copytree(straight[0], tmp_path / "store")), read_data_set(source)
    shorter = dataclasses.replace(MINILM, max_tokens=8)
    prepare(data, folder, QUICK, one_process, encoders=[MINILM])
    assert len(prepare(data, folder, QUICK, one_process, encoders=[shorter]).embeddings) == 2
    assert len(Store.open(folder).embeddings(MINILM)) == len(Store.open(folder).embeddings(shorter)) == 7
    fewer = dataclasses.replace(data, studies=data.studies[:1])
    assert len(prepare(fewer, folder, QUICK, one_process, encoders=[shorter]).embeddings) == 1


def test_a_folder_of_something_else_or_of_another_set_is_left_alone(source, straight, ct_rate_source, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CannotWrite, match="not empty"):
        prepare(read_data_set(source), tmp_path, QUICK, one_process)
    table = tmp_path / "pairs.csv"
    table.write_text("path,findings,impression,split\n")
    with pytest.raises(CannotWrite, match="CT-RATE"):
        prepare(read_data_set(table), straight[0], QUICK, one_process)


def test_the_command_prepares_reports_and_ends_with_0(ct_rate_source, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(ct_rate_source), str(tmp_path / "store"), "--json"])
    assert end.value.code == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["scans"], document["prepared"]) == ("simcrop.prepare/1", 3, 3)
    assert document["embeddings"][0]["dim"] == 384
    with pytest.raises(SystemExit) as end:
        main([str(ct_rate_source), str(tmp_path / "store")])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "3 there already" in said
    assert "not-a-chest" in said
    assert "CC BY-NC-SA" in said


def test_the_command_names_a_fault_and_ends_with_1(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), str(tmp_path / "store")])
    assert end.value.code == 1
    assert "unknown-data-set" in capsys.readouterr().err


def test_a_vanished_file_does_not_end_the_run(source, tmp_path):
    own = Path(shutil.copytree(source, tmp_path / "source"))
    data = read_data_set(own)
    (own / "dataset/train_fixed/train_3/train_3_a/train_3_a_1.nii.gz").unlink()
    report = prepare(data, tmp_path / "store", QUICK, one_process)
    assert report.scans == 5
    assert [note.name for note in report.excluded] == ["train_3_a_1"]
