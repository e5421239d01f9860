"""`--prune` deletes what nothing refers to and nothing else, and never while another run is at work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ct_rate_files import CtRateFolder, save_lps
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.cli import main
from simcrop_training.prepare.run import prepare
from simcrop_training.store.files import RECORDS, VOLUMES, record_path, shard_path
from simcrop_training.store.store import Store
from store_making import QUICK, content_of, one_process, records_of

from simcrop_core.errors import CannotWrite, DamagedStore


def made(folder, chest, numbers):
    """A CT-RATE folder of some scans, every one different; the same number is the same scan."""
    source = CtRateFolder(folder)
    for number in numbers:
        path = source.scan(f"train_{number}_a_1", findings=f"Finding {number} is seen.", ZSpacing="4",
                           XYSpacing="[4, 4]")  # fmt: skip
        save_lps(path, np.roll(chest, number, axis=2), (4, 4, 4))
        os.utime(path, ns=(10**18, 10**18))
    return read_data_set(source.write())


@pytest.fixture(scope="module")
def four(tmp_path_factory, coarse_chest):
    """Four scans and their store."""
    folder = tmp_path_factory.mktemp("four")
    data = made(folder / "source", coarse_chest, (1, 2, 3, 4))
    prepare(data, folder / "store", QUICK, one_process)
    return data, folder / "store"


@pytest.fixture(scope="module")
def two(tmp_path_factory, coarse_chest):
    """Two of them alone."""
    folder = tmp_path_factory.mktemp("two")
    data = made(folder / "source", coarse_chest, (1, 3))
    prepare(data, folder / "store", QUICK, one_process)
    return data, folder / "store"


@pytest.fixture
def store(four, tmp_path):
    """A copy of the store of four."""
    return Path(shutil.copytree(four[1], tmp_path / "store"))


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sizes(folder, names):
    return sum((folder / name).stat().st_size for name in names)


def test_what_is_left_is_the_store_that_the_remaining_scans_make(four, two, store):
    stale = {f for f in files_of(store) - files_of(two[1]) if f.startswith((VOLUMES, RECORDS))}
    freed = sizes(store, stale)
    report = prepare(two[0], store, QUICK, one_process, prune=True)
    assert (report.prepared, report.skipped) == (0, 2)
    assert report.pruned is not None
    assert (report.pruned.files, report.pruned.freed_bytes) == (len(stale), freed) == (4, freed)
    assert files_of(store) == files_of(two[1])
    assert content_of(store) == content_of(two[1])
    assert json.loads((store / "report.json").read_text())["pruned"] == {"files": 4, "freed_bytes": freed}


def test_without_the_word_nothing_is_deleted(two, store):
    before = {f for f in files_of(store) if f.startswith((VOLUMES, RECORDS))}
    assert prepare(two[0], store, QUICK, one_process).pruned is None
    assert before <= files_of(store)
    assert len(Store.open(store).volumes) == 2


def test_a_store_without_anything_stale_stays_as_it_is(four, store):
    before = files_of(store)
    pruned = prepare(four[0], store, QUICK, one_process, prune=True).pruned
    assert pruned is not None
    assert (pruned.files, pruned.freed_bytes) == (0, 0)
    assert files_of(store) == before


def test_what_the_command_did_not_write_stays(two, store):
    mine = [store / VOLUMES / "notes.txt", store / VOLUMES / "ab" / "mine.b2nd", store / "grounding" / "readme.npz"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    prepare(two[0], store, QUICK, one_process, prune=True)
    assert all(path.read_text() == "mine" for path in mine)


def test_records_of_refused_scans_are_kept_and_samples_of_lost_scans_are_not(ct_rate_source, tmp_path):
    data = read_data_set(ct_rate_source)
    prepare(data, tmp_path / "store", QUICK, one_process)
    lost = [tmp_path / "store/grounding/train/train_9_a_1.npz", tmp_path / "store/embeddings/parts"]
    lost[1] = lost[1] / f"{'a' * 16}-{'b' * 16}.npy"
    for path in lost:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"0123")
    pruned = prepare(data, tmp_path / "store", QUICK, one_process, prune=True).pruned
    assert pruned is not None
    assert (pruned.files, pruned.freed_bytes) == (2, 8)
    assert not any(path.exists() for path in lost)
    assert record_path(tmp_path / "store", "train_2_a_1").is_file()  # no chest: it need not be looked at again


def test_nothing_is_deleted_from_a_store_that_is_not_whole(two, store, monkeypatch):
    """A shard that the new manifest names goes away between the look for it and the end."""
    from simcrop_training.prepare import run

    kept = shard_path(store, Store.open(two[1]).volumes[0].digest)
    write = run.write_manifest
    monkeypatch.setattr(run, "write_manifest", lambda *args: (write(*args), kept.unlink()))
    before = {f for f in files_of(store) if f.startswith((VOLUMES, RECORDS))}
    with pytest.raises(DamagedStore, match=kept.name):
        prepare(two[0], store, QUICK, one_process, prune=True)
    assert before - files_of(store) == {kept.relative_to(store).as_posix()}


_RUN = """
import sys
from pathlib import Path
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from store_making import QUICK, one_process
prepare(read_data_set(Path(sys.argv[1])), Path(sys.argv[2]), QUICK, one_process, prune=True)
"""


def started(source, folder):
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", _RUN, str(source), str(folder)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})


def source_of(data):
    return data.studies[0].volumes[0].path.parents[4]


def test_killed_in_the_middle_it_leaves_a_whole_store(two, store):
    many = 20_000
    unnamed = [shard_path(store, f"{number:064x}"[::-1]) for number in range(many)]
    for path in unnamed:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    before = len(files_of(store))
    process = started(source_of(two[0]), store)
    # A few of them: to list all takes a busy machine as long as to delete them.
    while all(path.exists() for path in unnamed[::500]):
        assert process.poll() is None, "it ended before it could be killed"
    process.kill()
    process.wait()
    assert 100 < len(files_of(store)) < before
    Store.open(store).verify()
    assert [volume.name for volume in Store.open(store).volumes] == ["train_1_a_1", "train_3_a_1"]
    prepare(two[0], store, QUICK, one_process, prune=True)
    assert files_of(store) == files_of(two[1])


def test_two_runs_do_not_work_on_one_store_at_once_and_a_killed_one_lets_go(four, tmp_path):
    data, folder = four[0], tmp_path / "store"
    process = started(source_of(data), folder)
    while not records_of(folder):
        assert process.poll() is None, "it ended before it could be met"
        time.sleep(0.002)
    with pytest.raises(CannotWrite, match="Another simcrop-prepare"):
        prepare(data, folder, QUICK, one_process, prune=True)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert prepare(data, folder, QUICK, one_process).scans == 4


def test_the_command_says_how_much(ct_rate_source, own_store, capsys):
    stale = shard_path(own_store, "ab" * 32)
    stale.parent.mkdir()
    stale.write_bytes(bytes(2**24))
    with pytest.raises(SystemExit) as end:
        main([str(ct_rate_source), str(own_store), "--prune"])
    assert end.value.code == 0
    assert "1 files that nothing refers to were deleted, 0.02 GiB." in capsys.readouterr().out
    assert not stale.exists()
