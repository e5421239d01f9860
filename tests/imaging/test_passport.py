"""What the passport lets through, repairs and refuses, on a drawn chest and on real scans."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from chests import affine_of, chest_hu, rotations, volume_of
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.errors import BrokenGeometry, NotHounsfield
from simcrop_core.imaging.affine import apply, spacing_mm
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.results import PassportFinding

SHAPE = (60, 50, 50)
CHEST = volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=SHAPE), SHAPE)
REAL = [
    "LIDC-IDRI-0001/ct.nii.gz",
    "CIP_ct-64/ct-64.nrrd",
    "Lung_Dx-A0002/dicom.zip",
    "COVID-CT-MD_P002/ct_2mm.nii.gz",
    "COVID-CT-MD_normal001/ct_2mm.nii.gz",
    "TotalSegmentator_abdomen/example_ct.nii.gz",
]


def with_affine(affine):
    return dataclasses.replace(CHEST, affine=affine)


def with_values(change, dtype=np.float32, of=CHEST):
    return dataclasses.replace(of, voxels=change(of.voxels.astype(np.float32)).astype(dtype))


def outcomes(volume):
    return {finding.code: finding.outcome for finding in check(volume)[1]}


def sheared(degrees, axes=(1, 2)):
    """The chest's affine with the angle between two axes off by some degrees."""
    shear = np.eye(4)
    shear[axes[0], axes[1]] = np.tan(np.radians(degrees))
    return CHEST.affine @ shear


@pytest.mark.parametrize("path", REAL)
def test_real_scans_pass_unchanged(real_ct, path):
    volume = read_volume(real_ct(path))
    checked, findings = check(volume)
    assert checked is volume
    assert {finding.outcome for finding in findings} == {"pass"}


@pytest.mark.parametrize("path", REAL)
def test_real_scans_without_their_rescale_or_with_two_are_refused(real_ct, path):
    volume = read_volume(real_ct(path))
    step = max(1, volume.shape[0] // 128)
    volume = dataclasses.replace(volume, voxels=volume.voxels[::step, ::step])
    with pytest.raises(NotHounsfield, match="before its rescale"):
        check(with_values(lambda hu: hu + 1024, of=volume))
    with pytest.raises(NotHounsfield, match="subtracted twice"):
        check(with_values(lambda hu: hu - 1024, of=volume))
    with pytest.raises(NotHounsfield, match="subtracted twice"):
        check(with_values(lambda hu: np.maximum(hu - 1024, -1024), of=volume))
    with pytest.raises(NotHounsfield, match="windowed for display"):
        check(with_values(lambda hu: np.interp(hu, (-1350, 150), (0, 255)), np.int16, of=volume))


def test_a_padding_below_stored_values_does_not_hide_a_missing_rescale(real_ct):
    volume = read_volume(real_ct("CIP_ct-64/ct-64.nrrd"))

    def padded(hu):
        stored = hu + 1024
        stored[:6] = -2000
        return stored

    with pytest.raises(NotHounsfield, match="before its rescale"):
        check(with_values(padded, of=volume))


def test_values_normalised_or_all_alike_are_refused():
    with pytest.raises(NotHounsfield, match="normalised"):
        check(with_values(lambda hu: hu / 1000))
    with pytest.raises(NotHounsfield, match="All voxels have the value -1000"):
        check(with_values(lambda hu: np.full_like(hu, -1000)))


@pytest.mark.parametrize("mark", [-2048, -3024, -8192, -32768])
def test_padding_below_air_is_told_and_let_through(mark):
    def padded(hu):
        hu[:5] = mark
        return hu

    _, findings = check(with_values(padded, np.int16))
    (finding,) = (finding for finding in findings if finding.code == "padding")
    assert finding.outcome == "pass"
    assert f"padding ({mark})" in finding.message


def test_voxels_that_are_no_numbers_become_air_and_are_counted():
    def broken(hu):
        hu[3, 4, 5:8] = [np.nan, np.inf, -np.inf]
        return hu

    volume = with_values(broken)
    checked, findings = check(volume)
    (finding,) = (finding for finding in findings if finding.code == "finite")
    assert finding.outcome == "repaired"
    assert finding.message.startswith("3 voxels")
    np.testing.assert_array_equal(checked.voxels[3, 4, 5:8], -1024)
    others = np.isfinite(volume.voxels)
    np.testing.assert_array_equal(checked.voxels[others], volume.voxels[others])
    assert np.isnan(volume.voxels[3, 4, 5]), "the volume that was given is left as it is"
    with pytest.raises(NotHounsfield, match="No voxel is a number"):
        check(with_values(lambda hu: np.full_like(hu, np.nan)))


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0])
def test_an_affine_that_is_none_is_refused(broken):
    affine = CHEST.affine.copy()
    affine[2, :3] = broken
    with pytest.raises(BrokenGeometry):
        check(with_affine(affine))


@pytest.mark.parametrize("factor", [1e-3, 1e3, 0.02, 2])
def test_voxels_of_no_ct_s_size_are_refused(factor):
    affine = CHEST.affine.copy()
    affine[:3, :3] *= factor
    with pytest.raises(BrokenGeometry, match=r"are 0\.2 to 10 mm"):
        check(with_affine(affine))


def test_a_field_of_view_too_small_for_a_chest_is_told():
    slab = dataclasses.replace(CHEST, voxels=CHEST.voxels[:, :, 20:30])
    assert outcomes(slab)["field-of-view"] == "warned"


def test_a_field_of_view_larger_than_a_patient_is_told():
    affine = affine_of(spacing=(10, 10, 6), shape=SHAPE)
    wide = dataclasses.replace(CHEST, voxels=np.repeat(np.repeat(CHEST.voxels, 2, 0), 3, 1), affine=affine)
    assert outcomes(wide)["field-of-view"] == "warned"
    assert outcomes(CHEST)["field-of-view"] == "pass"


def test_an_oblique_volume_is_told_beyond_what_a_gantry_tilts():
    for degrees, outcome in ((29, "pass"), (31, "warned")):
        affine = affine_of(spacing=(6, 6, 6), rotation=(degrees, 0, 0), shape=SHAPE)
        (finding,) = (f for f in check(with_affine(affine))[1] if f.code == "orientation")
        assert finding.outcome == outcome
        assert f"{degrees}" in finding.message
    assert "Stored RAS." in [f.message for f in check(CHEST)[1]]


def test_a_preview_of_few_voxels_is_told():
    small = dataclasses.replace(CHEST, voxels=CHEST.voxels[::4, ::4, ::4], affine=affine_of(spacing=(8, 8, 8)))
    assert outcomes(small)["size"] == "warned"
    assert outcomes(CHEST)["size"] == "pass"


def test_values_clipped_to_a_window_are_told():
    assert outcomes(with_values(lambda hu: np.clip(hu, -160, 240)))["hounsfield"] == "warned"
    assert outcomes(with_values(lambda hu: np.clip(hu, -1350, 0)))["hounsfield"] == "warned"
    assert outcomes(CHEST)["hounsfield"] == "pass"


def test_a_picture_of_signed_bytes_is_refused():
    with pytest.raises(NotHounsfield, match="8 bits"):
        check(with_values(lambda hu: np.interp(hu, (-1350, 150), (-128, 127)), np.int16))


@settings(max_examples=40, deadline=None)
@given(degrees=st.floats(0.02, 0.9), axes=st.sampled_from([(0, 1), (0, 2), (1, 2)]), rotation=rotations)
def test_axes_slightly_off_are_turned_right_about_the_centre(degrees, axes, rotation):
    turned = affine_of(spacing=(0.8, 0.7, 2.5), rotation=rotation, shape=SHAPE)
    shear = np.eye(4)
    shear[axes[0], axes[1]] = np.tan(np.radians(degrees)) * spacing_mm(turned)[axes[1]] / spacing_mm(turned)[axes[0]]
    volume = with_affine(turned @ shear)
    checked, findings = check(volume)
    assert [f.outcome for f in findings if f.code == "orthogonality"] == ["repaired"]
    directions = checked.affine[:3, :3] / spacing_mm(checked.affine)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(spacing_mm(checked.affine), spacing_mm(volume.affine))
    centre = (np.array(SHAPE) - 1) / 2
    np.testing.assert_allclose(apply(checked.affine, centre), apply(volume.affine, centre), atol=1e-9)
    corners = np.array([[0, 0, 0], np.array(SHAPE) - 1])
    farthest = np.linalg.norm(apply(checked.affine, corners) - apply(volume.affine, corners), axis=1).max()
    assert farthest <= np.radians(degrees) * np.linalg.norm(np.array(SHAPE) * spacing_mm(volume.affine)) / 2
    again, repeated = check(checked)
    assert again is checked
    assert [f.outcome for f in repeated if f.code == "orthogonality"] == ["pass"]


def test_the_angle_of_the_repair_is_reported():
    _, findings = check(with_affine(sheared(0.5)))
    assert "0.50°" in next(f.message for f in findings if f.code == "orthogonality")


def test_rounding_in_a_header_is_no_finding():
    volume = with_affine(CHEST.affine.astype(np.float32).astype(np.float64))
    assert check(volume)[0] is volume


def test_a_slant_is_refused_as_tilt_and_other_shears_as_shears():
    with pytest.raises(BrokenGeometry, match=r"slant of 15\.0°: the gantry was tilted"):
        check(with_affine(sheared(15)))
    skewed = sheared(5, (0, 1)) @ np.linalg.inv(CHEST.affine) @ sheared(6, (1, 2))
    skewed = skewed @ np.linalg.inv(CHEST.affine) @ sheared(7, (0, 2))
    with pytest.raises(BrokenGeometry, match="registration"):
        check(with_affine(skewed))


def test_what_the_reader_saw_comes_first():
    seen = PassportFinding("forms-disagree", "warned", "Two geometries.", "Compare them.")
    _, findings = check(dataclasses.replace(CHEST, findings=(seen,)))
    assert findings[0] == seen


def test_a_full_scan_is_checked_in_a_few_milliseconds():
    voxels = np.asfortranarray(np.random.default_rng(0).integers(-1024, 300, (512, 512, 100), dtype=np.int16))
    volume = dataclasses.replace(CHEST, voxels=voxels, affine=affine_of(spacing=(0.7, 0.7, 1), shape=voxels.shape))
    check(volume)
    start = time.process_time()
    check(volume)
    assert time.process_time() - start < 0.1  # 0.005 measured
