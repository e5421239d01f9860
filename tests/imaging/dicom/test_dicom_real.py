"""Real CT series, against SimpleITK's own way of reading them."""

from __future__ import annotations

import zipfile

import nibabel
import numpy as np
import pytest
import SimpleITK

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.read import read_header, read_volume

SERIES = ["Lung_Dx-A0002/dicom.zip", "TotalSegmentator_abdomen/example_ct_dicom.zip"]  # uncompressed, JPEG 2000


@pytest.fixture(scope="module", params=SERIES)
def archive(request, real_ct):
    return real_ct(request.param)


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    zipfile.ZipFile(archive).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def volume(archive):
    return read_volume(archive)


@pytest.fixture(scope="module")
def oracle(unpacked):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(next(unpacked.iterdir()))))
    return reader.Execute()


def test_every_voxel_is_where_simpleitk_puts_it_with_the_same_hu(volume, oracle):
    rng = np.random.default_rng(0)
    indices = rng.integers(0, volume.shape, size=(300, 3))
    points_lps = apply(volume.affine, indices) * [-1, -1, 1]
    for index, point in zip(indices, points_lps, strict=True):
        there = oracle.TransformPhysicalPointToContinuousIndex([float(x) for x in point])
        np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
        assert volume.voxels[tuple(index)] == oracle.GetPixel([round(x) for x in there])


def test_hu_are_int16_and_all_equal_to_simpleitk_s(volume, oracle):
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, SimpleITK.GetArrayViewFromImage(oracle).T)


def test_an_archive_and_its_folder_are_the_same_volume(volume, unpacked):
    from_folder = read_volume(unpacked)
    np.testing.assert_array_equal(from_folder.voxels, volume.voxels)
    np.testing.assert_array_equal(from_folder.affine, volume.affine)
    assert from_folder.dicom == volume.dicom


def test_any_one_file_stands_for_its_series(volume, unpacked):
    one_file = sorted(path for path in unpacked.rglob("*") if path.is_file())[7]
    np.testing.assert_array_equal(read_volume(one_file).voxels, volume.voxels)


def test_the_header_alone_says_the_same(volume, archive):
    header = read_header(archive)
    assert (header.shape, header.name, header.file_format) == (volume.shape, volume.name, "DICOM")
    np.testing.assert_array_equal(header.affine, volume.affine)
    assert (header.stored_type, header.slope, header.intercept) == ("uint16", 1, -1024)


def test_slices_of_a_scan_numbered_from_the_head_are_in_order_from_the_feet(volume):
    numbers = volume.dicom.instance_numbers
    assert list(numbers) == sorted(numbers, reverse=True)
    assert volume.orientation == "LPS"


def test_the_grid_is_that_of_labels_others_made_from_the_same_series(real_ct):
    volume = read_volume(real_ct("TotalSegmentator_abdomen/example_ct_dicom.zip"))
    labels = nibabel.load(real_ct("TotalSegmentator_abdomen/example_seg_dicom.nii.gz"))
    to_labels = np.linalg.inv(labels.affine) @ volume.affine
    corners = apply(to_labels, [[0, 0, 0], [s - 1 for s in volume.shape]])
    np.testing.assert_allclose(np.sort(corners, axis=0), [[0, 0, 0], [s - 1 for s in labels.shape]], atol=1e-3)
