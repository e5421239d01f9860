"""Telling formats apart, and refusing by name what is none."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest

from simcrop_core.errors import BrokenGeometry, UnreadableFile
from simcrop_core.imaging.read import read_header, read_volume


@pytest.mark.parametrize("name", ["LIDC", "scan.dat", "scan.mha"])
def test_a_file_is_known_by_its_content_not_its_name(real_ct, tmp_path, name):
    source = real_ct("CIP_ct-64/ct-64.nrrd")
    shutil.copyfile(source, tmp_path / name)
    np.testing.assert_array_equal(read_volume(tmp_path / name).voxels, read_volume(source).voxels)


def test_an_unknown_format_is_refused_with_those_that_are_read(tmp_path):
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    with pytest.raises(UnreadableFile, match=r"scan\.png") as caught:
        read_volume(tmp_path / "scan.png")
    for suffix in (".nii.gz", ".nrrd", ".mha", ".zip", "DICOM"):
        assert suffix in caught.value.hint


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be opened"):
        read_volume(tmp_path / "nowhere.nii.gz")
    with pytest.raises(UnreadableFile, match="No CT slice"):
        read_volume(tmp_path)


def test_a_compressed_file_of_another_kind_is_not_nifti(tmp_path):
    (tmp_path / "notes.gz").write_bytes(gzip.compress(b"some text, no image " * 50))
    with pytest.raises(UnreadableFile, match="not NIfTI"):
        read_volume(tmp_path / "notes.gz")


def test_a_header_that_puts_all_voxels_into_one_plane_is_refused(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4))
    image.header["srow_z"] = 0
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    octets = image.header.binaryblock + bytes(4 + 2 * 8**3)
    (tmp_path / "flat.nii").write_bytes(octets)
    with pytest.raises(BrokenGeometry, match="one plane"):
        read_header(tmp_path / "flat.nii")
