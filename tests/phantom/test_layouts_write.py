"""A folder of phantoms: never mixed with other data, whole after a stop, taken up again where it was left."""

from __future__ import annotations

import json
import os
import pickle
import time

import pytest
from hand_made_phantom import PRESENT, hand_made_phantom

from simcrop_core.errors import Cancelled, CannotWrite, UnreadableFile
from simcrop_core.phantom.layouts.settings import SETTINGS_FILE, Settings, claim_folder
from simcrop_core.phantom.layouts.write import write_drawn, write_phantoms
from simcrop_core.progress import Job

SETTINGS = Settings("ct-rate")


@pytest.fixture
def complete(tmp_path):
    """A folder in which seeds 7 and 9 are complete."""
    claim_folder(tmp_path, SETTINGS)
    for seed in (7, 9):
        write_drawn(tmp_path, SETTINGS, hand_made_phantom(seed))
    return tmp_path


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_complete_scans_are_left_alone_and_tables_cover_the_whole_folder(complete):
    before = files_of(complete)
    result = write_phantoms(complete, SETTINGS, [7])
    assert (result.drawn, result.skipped, result.held) == (0, 1, 2)
    assert [(scan.scan, scan.split) for scan in result.scans] == [("train_7_a_1", "train")]
    assert {label for label, count in result.labels.items() if count} == PRESENT
    after = files_of(complete)
    assert {path: after[path] for path in before} == before
    made = {path.relative_to(complete).as_posix() for path in set(after) - set(before)} | {SETTINGS_FILE}
    assert made == set(result.tables)
    assert "valid_9_a_1" in (complete / "dataset" / "metadata" / "validation_metadata.csv").read_text(encoding="utf-8")


def test_a_folder_with_other_data_is_not_touched(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "train_reports.csv").write_text("somebody's")
    with pytest.raises(CannotWrite, match="not made by"):
        write_phantoms(tmp_path, SETTINGS, [7])
    assert [path.name for path in tmp_path.rglob("*")] == ["dataset", "train_reports.csv"]


def test_phantoms_of_two_kinds_are_not_mixed(complete):
    for other in (
        Settings("luna16"),
        Settings("ct-rate", style="b"),
        Settings("ct-rate", size="full"),
        Settings("ct-rate", valid_percent=50),
        Settings("ct-rate", version="0.0.1"),
    ):
        with pytest.raises(CannotWrite, match="another kind"):
            write_phantoms(complete, other, [7])
    said = json.loads((complete / SETTINGS_FILE).read_text(encoding="utf-8"))
    assert said["synthetic"] is True
    assert "no patient" in said["notice"]


def test_a_folder_that_cannot_be_made_is_a_named_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        write_phantoms(tmp_path / "file" / "phantoms", SETTINGS, [7])
    assert pickle.loads(pickle.dumps(CannotWrite("a", hint="b"))).hint == "b", "a worker's fault arrives whole"


def test_a_damaged_record_is_named(complete):
    (complete / "truth" / "train_7_a_1.json").write_text("{")
    with pytest.raises(UnreadableFile, match="train_7_a_1"):
        write_phantoms(complete, SETTINGS, [7])


def test_what_a_killed_run_was_writing_goes_and_what_another_run_is_writing_stays(complete):
    abandoned = complete / "truth" / ".0123456789abcdef.nii.gz"
    folder = complete / "dataset" / ".fedcba9876543210"
    under_way = complete / "truth" / ".00000000ffffffff.nii.gz"
    other = complete / ".DS_Store"
    folder.mkdir(parents=True)
    for path in (abandoned, under_way, other, folder / "half.raw"):
        path.write_bytes(b"half")
    long_ago = time.time() - 7200
    for path in (abandoned, folder, other):
        os.utime(path, (long_ago, long_ago))
    write_phantoms(complete, SETTINGS, [7])
    assert not abandoned.exists()
    assert not folder.exists()
    assert under_way.exists()
    assert other.exists()


def test_a_stopped_job_draws_nothing_more(complete):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        write_phantoms(complete, SETTINGS, [7, 8], job=job)
    assert not list(complete.rglob("*_8_*"))
