"""NRRD and MetaImage against SimpleITK's own reading."""

from __future__ import annotations

import gc

import nibabel
import numpy as np
import pytest
import SimpleITK

from simcrop_core.errors import NotASingleVolume, UnreadableFile
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.read import read_header, read_volume

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")


@pytest.fixture(scope="module")
def chest(real_ct):
    return SimpleITK.ReadImage(real_ct("CIP_ct-64/ct-64.nrrd"))


def assert_same(volume, image):
    np.testing.assert_array_equal(volume.voxels, SimpleITK.GetArrayViewFromImage(image).T)
    for index in [(0, 0, 0), (5, 7, 11), tuple(size - 1 for size in volume.shape)]:
        point = apply(volume.affine, index) * [-1, -1, 1]
        np.testing.assert_allclose(point, image.TransformIndexToPhysicalPoint(index), atol=1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_and_positions_are_simpleitk_s(tmp_path, chest, suffix, compressed):
    oblique = SimpleITK.Image(chest)
    oblique.SetDirection([0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1])
    path = tmp_path / f"ct{suffix}"
    SimpleITK.WriteImage(oblique, str(path), useCompression=compressed)
    volume = read_volume(path)
    assert volume.voxels.dtype == np.int16
    assert_same(volume, oblique)


def test_the_real_nrrd_is_read_where_it_is(real_ct, chest):
    volume = read_volume(real_ct("CIP_ct-64/ct-64.nrrd"))
    assert_same(volume, chest)
    assert (volume.orientation, volume.findings) == ("LPS", ())
    assert volume.voxels.flags.f_contiguous


def test_the_voxels_outlive_the_image_they_are_a_view_of(real_ct, chest):
    voxels = read_volume(real_ct("CIP_ct-64/ct-64.nrrd")).voxels
    gc.collect()
    np.testing.assert_array_equal(voxels, SimpleITK.GetArrayViewFromImage(chest).T)


@pytest.mark.parametrize(
    ("pixel", "dtype"),
    [
        (SimpleITK.sitkInt32, np.int16),
        (SimpleITK.sitkFloat64, np.float32),
        (SimpleITK.sitkUInt16, np.int16),
        (SimpleITK.sitkUInt8, np.int16),
    ],
)
def test_values_that_fit_become_int16_and_no_float64_remains(tmp_path, chest, pixel, dtype):
    image = SimpleITK.Cast(SimpleITK.Clamp(chest, lowerBound=0, upperBound=250), pixel)
    SimpleITK.WriteImage(image, str(tmp_path / "ct.mha"))
    volume = read_volume(tmp_path / "ct.mha")
    assert volume.voxels.dtype == dtype
    assert_same(volume, image)


def test_the_same_volume_as_nifti_is_at_the_same_place(tmp_path, chest, real_ct):
    SimpleITK.WriteImage(chest, str(tmp_path / "ct.nii.gz"))
    from_nifti, from_nrrd = read_volume(tmp_path / "ct.nii.gz"), read_volume(real_ct("CIP_ct-64/ct-64.nrrd"))
    np.testing.assert_array_equal(from_nifti.voxels, from_nrrd.voxels)
    np.testing.assert_allclose(from_nifti.affine, from_nrrd.affine, atol=1e-4)
    np.testing.assert_allclose(nibabel.load(tmp_path / "ct.nii.gz").affine, from_nrrd.affine, atol=1e-4)


def test_the_header_says_the_same_without_voxels(real_ct):
    path = real_ct("CIP_ct-64/ct-64.nrrd")
    header, volume = read_header(path), read_volume(path)
    assert (header.shape, header.stored_type, header.file_format) == (volume.shape, "int16", "NRRD")
    np.testing.assert_array_equal(header.affine, volume.affine)


def test_a_nrrd_without_a_space_is_told(tmp_path):
    voxels = np.zeros((6, 6, 6), np.int16)
    head = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 6 6 6\nspacings: 2 2 2\nendian: little\nencoding: raw\n\n"
    (tmp_path / "ct.nrrd").write_bytes(head + voxels.tobytes())
    volume = read_volume(tmp_path / "ct.nrrd")
    assert [finding.code for finding in volume.findings] == ["orientation-unstated"]
    assert volume.spacing_mm == (2, 2, 2)


def test_colours_series_and_slices_are_no_single_volume(tmp_path):
    images = {
        "colour": SimpleITK.Image([8, 8, 8], SimpleITK.sitkVectorUInt8, 3),
        "series": SimpleITK.Image([8, 8, 8, 2], SimpleITK.sitkInt16),
        "slice": SimpleITK.Image([8, 8], SimpleITK.sitkInt16),
        "slab": SimpleITK.Image([8, 8, 3], SimpleITK.sitkInt16),
    }
    for name, image in images.items():
        for suffix in (".nrrd", ".mha"):
            SimpleITK.WriteImage(image, str(tmp_path / f"{name}{suffix}"))
            with pytest.raises(NotASingleVolume, match=name):
                read_volume(tmp_path / f"{name}{suffix}")


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    image = SimpleITK.JoinSeries(SimpleITK.Image([8, 9, 10], SimpleITK.sitkInt16))
    SimpleITK.WriteImage(image, str(tmp_path / "ct.mha"))
    assert read_volume(tmp_path / "ct.mha").shape == (8, 9, 10)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("keep", [0.02, 0.6])
def test_a_file_cut_off_is_named(tmp_path, chest, suffix, keep):
    path = tmp_path / f"ct{suffix}"
    SimpleITK.WriteImage(chest, str(path), useCompression=True)
    octets = path.read_bytes()
    path.write_bytes(octets[: int(len(octets) * keep)])
    with pytest.raises(UnreadableFile, match=r"ct\."):
        read_volume(path)


@pytest.mark.parametrize("axes", [b"NDims = 93", b"NDims = 0", b"NDims: 1000000000", b"NoDims = 3"])
def test_a_number_of_axes_that_would_corrupt_memory_is_refused(tmp_path, chest, axes):
    path = tmp_path / "ct.mha"
    SimpleITK.WriteImage(chest, str(path))
    path.write_bytes(path.read_bytes().replace(b"NDims = 3", axes))
    with pytest.raises(UnreadableFile, match=r"ct\.mha"):
        read_volume(path)
