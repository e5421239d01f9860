"""Archives: read without trusting a name, a size or a promise in them."""

from __future__ import annotations

import tempfile
import zipfile

import numpy as np
import pytest
from dicom_files import Series

from simcrop_core.errors import UnreadableFile
from simcrop_core.imaging.dicom import archive as archive_module
from simcrop_core.imaging.read import read_volume


@pytest.fixture
def files(tmp_path):
    return sorted(Series().write(tmp_path / "series").iterdir())


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder that temporary folders are made in."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(path, files, name=lambda file: file.name):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, name(file))
    return path


def test_names_that_point_outside_reach_no_place_outside(tmp_path, files, scratch):
    path = zipped(tmp_path / "evil.zip", files, lambda file: f"../../escaped/{file.name}")
    before = sorted(tmp_path.rglob("*"))
    volume = read_volume(path)
    assert volume.shape == (20, 16, 12)
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(scratch.iterdir())


def test_two_files_of_one_name_are_both_read(tmp_path, files):
    path = zipped(tmp_path / "study.zip", files, lambda file: f"{file.name}/IMAGE")
    np.testing.assert_array_equal(read_volume(path).voxels, read_volume(files[0].parent).voxels)


def test_a_damaged_archive_is_named_and_leaves_nothing_behind(tmp_path, files, scratch):
    whole = zipped(tmp_path / "whole.zip", files).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:200] + b"\0" * 40 + whole[240:]):
        (tmp_path / "damaged.zip").write_bytes(damaged)
        with pytest.raises(UnreadableFile, match=r"damaged\.zip is damaged"):
            read_volume(tmp_path / "damaged.zip")
    assert not list(scratch.iterdir())


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path, files, monkeypatch, scratch):
    monkeypatch.setattr(archive_module, "MAX_BYTES", 5_000)
    with pytest.raises(UnreadableFile, match="unpacks to 12 files"):
        read_volume(zipped(tmp_path / "bomb.zip", files))


def test_an_archive_without_slices_says_what_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("no image " * 40)
    with pytest.raises(UnreadableFile, match="1 × not DICOM"):
        read_volume(zipped(tmp_path / "notes.zip", [tmp_path / "notes.txt"]))
