"""Heatmap and label files: where other software finds them in the patient, and what writing them costs."""

from __future__ import annotations

import tracemalloc

import nibabel
import numpy as np
import pytest
import SimpleITK
from chests import affine_of, axis_orders, ct_spacings, rotations, sitk_image
from hypothesis import given, settings

from simcrop_core.errors import Cancelled, CannotWrite
from simcrop_core.export.full_resolution import OUTSIDE, slices
from simcrop_core.export.nifti import write_heatmap, write_labelmap
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job

SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".mha"]
OBLIQUE = affine_of(
    order=(1, 0, 2), signs=(-1, -1, 1), spacing=(0.8, 0.8, 2.5), rotation=(12, -7, 20), centre=(5, 6, 7)
)


def heatmap_about(volume, *, affine, shape=(6, 5, 7), seed=0):
    """Random scores on a grid whose middle is the volume's."""
    middle = apply(volume.affine, (np.array(volume.shape) - 1) / 2)
    affine = affine.copy()
    affine[:3, 3] += middle - apply(affine, (np.array(shape) - 1) / 2)
    return Heatmap(np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32), affine, "A nodule.")


def empty_volume(affine, shape):
    return Volume(np.zeros(shape, dtype=np.int16), affine)


def resampled_by_simpleitk(heatmap, volume):
    image = SimpleITK.Resample(
        sitk_image(Volume(heatmap.scores, heatmap.affine)), sitk_image(volume), SimpleITK.Transform(),
        SimpleITK.sitkLinear, OUTSIDE,
    )  # fmt: skip
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)


@given(axis=axis_orders, rotation=rotations, spacing=ct_spacings)
@settings(max_examples=40, deadline=None)
def test_full_resolution_is_what_simpleitk_resamples(axis, rotation, spacing):
    """Grids that share their axes, in any order and direction, however both lie in the patient."""
    volume = empty_volume(affine_of(spacing=spacing, rotation=rotation), (18, 15, 13))
    grid = affine_of(order=axis[0], signs=axis[1], spacing=(8, 7, 9), rotation=rotation)
    heatmap = heatmap_about(volume, affine=grid)
    written = np.stack(list(slices(heatmap, volume)), axis=-1)
    _same_but_at_the_rim(written, resampled_by_simpleitk(heatmap, volume), heatmap, volume)


@given(rotation=rotations, spacing=ct_spacings)
@settings(max_examples=20, deadline=None)
def test_full_resolution_holds_for_a_grid_that_is_tilted_against_the_ct(rotation, spacing):
    volume = empty_volume(affine_of(spacing=spacing, signs=(-1, -1, 1)), (18, 15, 13))
    heatmap = heatmap_about(volume, affine=affine_of(spacing=(8, 7, 9), rotation=rotation))
    written = np.stack(list(slices(heatmap, volume)), axis=-1)
    _same_but_at_the_rim(written, resampled_by_simpleitk(heatmap, volume), heatmap, volume)


def _same_but_at_the_rim(ours, theirs, heatmap, volume):
    """Equal but for voxel centres that lie on a face of the covered box, where rounding decides."""
    different = np.argwhere(np.abs(ours - theirs) > 1e-4)
    index = index_in(heatmap.affine, apply(volume.affine, different))
    to_face = np.abs(np.abs(index - (np.array(heatmap.scores.shape) - 1) / 2) - np.array(heatmap.scores.shape) / 2)
    assert (to_face.min(axis=1, initial=1) < 1e-5).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_simpleitk_finds_every_patch_of_the_coarse_file_where_it_is(tmp_path, suffix):
    volume = empty_volume(OBLIQUE, (40, 30, 20))
    heatmap = heatmap_about(volume, affine=affine_of(signs=(-1, 1, -1), spacing=(24, 24, 24), rotation=(12, -7, 20)))
    write_heatmap(tmp_path / f"map{suffix}", heatmap, volume)
    image = SimpleITK.ReadImage(tmp_path / f"map{suffix}")
    assert image.GetPixelID() == SimpleITK.sitkFloat32
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), heatmap.scores.transpose(2, 1, 0))
    for index in ((0, 0, 0), (5, 4, 6), (2, 0, 3)):
        r, a, s = apply(heatmap.affine, index)
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), (-r, -a, s), atol=1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_full_resolution_file_lies_on_the_ct(tmp_path, suffix):
    volume = empty_volume(OBLIQUE, (40, 30, 20))
    heatmap = heatmap_about(volume, affine=affine_of(spacing=(6, 5, 7), rotation=(12, -7, 20)))
    write_heatmap(tmp_path / f"map{suffix}", heatmap, volume, full_resolution=True)
    image, ct = SimpleITK.ReadImage(tmp_path / f"map{suffix}"), sitk_image(volume)
    assert image.GetSize() == ct.GetSize()
    np.testing.assert_allclose(image.GetOrigin(), ct.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), ct.GetDirection(), atol=1e-5)
    ours = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    _same_but_at_the_rim(ours, resampled_by_simpleitk(heatmap, volume), heatmap, volume)


def test_a_hot_patch_is_hot_at_the_same_millimetres_of_the_ct(tmp_path):
    volume = empty_volume(OBLIQUE, (60, 50, 40))
    heatmap = heatmap_about(volume, affine=affine_of(order=(2, 0, 1), signs=(1, -1, -1), spacing=(9, 9, 9)))
    heatmap.scores[:] = 0
    heatmap.scores[4, 1, 2] = 1
    write_heatmap(tmp_path / "map.nii.gz", heatmap, volume, full_resolution=True)
    written = nibabel.load(tmp_path / "map.nii.gz")
    hottest = np.unravel_index(np.argmax(written.get_fdata()), written.shape)
    assert np.linalg.norm(apply(written.affine, hottest) - apply(heatmap.affine, (4, 1, 2))) < 2


def test_the_header_says_what_the_numbers_are(tmp_path):
    volume = empty_volume(OBLIQUE, (8, 8, 8))
    heatmap = heatmap_about(volume, affine=affine_of(spacing=(24, 24, 24), rotation=(5, 0, 9)))
    write_heatmap(tmp_path / "map.nii.gz", heatmap, volume)
    header = nibabel.load(tmp_path / "map.nii.gz").header
    np.testing.assert_allclose(header.get_sform(coded=True)[0], heatmap.affine, atol=1e-4)
    np.testing.assert_allclose(header.get_qform(coded=True)[0], heatmap.affine, atol=1e-4)
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"
    assert b"not a probability" in header["descrip"].item()


def test_full_resolution_never_holds_more_than_a_few_slices(tmp_path):
    """512 × 512 × 60 would be 63 MB as float32."""
    affine = affine_of(signs=(-1, -1, 1), spacing=(0.7, 0.7, 2.5))
    volume = Volume(np.broadcast_to(np.int16(0), (512, 512, 60)), affine)
    heatmap = heatmap_about(volume, affine=affine_of(spacing=(24, 24, 24)), shape=(14, 14, 14))
    tracemalloc.start()
    write_heatmap(tmp_path / "map.nii.gz", heatmap, volume, full_resolution=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_a_cancelled_job_leaves_nothing(tmp_path):
    volume = empty_volume(OBLIQUE, (8, 8, 8))
    heatmap = heatmap_about(volume, affine=affine_of(spacing=(24, 24, 24)))
    seen = []
    job = Job(lambda progress: (seen.append(progress.done), job.cancel() if progress.done == 3 else None))
    with pytest.raises(Cancelled):
        write_heatmap(tmp_path / "map.nii.gz", heatmap, volume, full_resolution=True, job=job)
    assert seen == [0, 1, 2, 3]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_label_map_keeps_its_labels_and_their_place(tmp_path, suffix):
    labels = np.random.default_rng(0).integers(0, 3, (9, 8, 7), dtype=np.uint8)
    write_labelmap(tmp_path / f"lungs{suffix}", labels, OBLIQUE, {1: "left lung", 2: "right lung"})
    image = SimpleITK.ReadImage(tmp_path / f"lungs{suffix}")
    assert image.GetPixelID() == SimpleITK.sitkUInt8
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), labels.transpose(2, 1, 0))
    reference = sitk_image(Volume(labels.astype(np.int16), OBLIQUE))
    np.testing.assert_allclose(image.GetOrigin(), reference.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), reference.GetDirection(), atol=1e-5)


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".mha"])
def test_label_names_are_slicer_segments(tmp_path, suffix):
    path = tmp_path / f"lungs{suffix}"
    write_labelmap(path, np.zeros((3, 3, 3), np.uint8), OBLIQUE, {1: "left lung", 7: "trachea"})
    image = SimpleITK.ReadImage(path)
    assert image.GetMetaData("Segment1_Name") == "trachea"
    assert image.GetMetaData("Segment1_LabelValue") == "7"


def test_label_names_are_a_comment_in_nifti_and_two_writes_are_the_same_file(tmp_path):
    for name in ("one", "two"):
        write_labelmap(tmp_path / f"{name}.nii.gz", np.ones((3, 3, 3), np.uint8), OBLIQUE, {1: "left lung"})
    header = nibabel.load(tmp_path / "one.nii.gz").header
    assert header.extensions[0].get_content() == b"1: left lung"
    assert header.get_intent()[0] == "label"
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


@pytest.mark.parametrize("name", ["map.png", "map", "map.nii.gz/map.nii.gz"])
def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path, name):
    (tmp_path / "map.nii.gz").write_bytes(b"an older file")
    with pytest.raises(CannotWrite) as caught:
        write_labelmap(tmp_path / name, np.zeros((2, 2, 2), np.uint8), np.eye(4), {})
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["map.nii.gz"]
