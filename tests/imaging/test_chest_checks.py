"""What the passport says of the chest in a scan: whole lungs, left and right, on real scans and a drawn one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from chests import affine_of, chest_hu, inside, volume_of

from simcrop_core.imaging.inspection import inspect_scan
from simcrop_core.imaging.left_right import sides_of
from simcrop_core.imaging.lungs import estimate_lungs
from simcrop_core.imaging.read import read_volume

LEANING_AND_WHOLE = ["LIDC-IDRI-0001/ct.nii.gz", "CIP_ct-64/ct-64.nrrd", "COVID-CT-MD_P002/ct_2mm.nii.gz"]
# The heart of this patient is drawn to the right: one organ alone never warns.
DRAWN_OVER = "Lung_Dx-A0002/dicom.zip"
SHAPE = (90, 62, 70)


def with_organs(points):
    """The drawn chest, of fat, with a liver under the right one, and a heart that leans to the left."""
    hu = chest_hu(points)
    hu[hu == 40] = -100
    hu[inside(points, (75, 10, -120), (75, 70, 60)) & (hu > -500)] = 60
    hu[inside(points, (-35, 20, -20), (50, 45, 60))] = 50
    return hu


@pytest.fixture(scope="module")
def chest():
    return volume_of(with_organs, affine_of(spacing=(4, 4, 4), shape=SHAPE), SHAPE)


def mirrored(volume):
    """Stored the other way round, under the same header."""
    across = next(axis for axis, name in enumerate(volume.orientation) if name in "LR")
    return dataclasses.replace(volume, voxels=np.flip(volume.voxels, across))


def found(volume, code):
    return next(finding for finding in inspect_scan(volume).passport if finding.code == code)


@pytest.mark.parametrize("path", [*LEANING_AND_WHOLE, DRAWN_OVER])
def test_real_chests_are_whole_and_the_right_way_round(real_ct, path):
    volume = read_volume(real_ct(path))
    assert found(volume, "left-right").outcome == "pass"
    assert found(volume, "left-right").message == "The liver is on the right, as the header says."
    assert found(volume, "lungs").outcome == "pass"


@pytest.mark.parametrize("path", LEANING_AND_WHOLE)
def test_a_real_chest_stored_mirrored_is_warned_of(real_ct, path):
    finding = found(mirrored(read_volume(real_ct(path))), "left-right")
    assert finding.outcome == "warned"
    assert "left and right may be exchanged" in finding.message


def test_a_heart_drawn_over_is_no_reason_to_warn(real_ct):
    finding = found(mirrored(read_volume(real_ct(DRAWN_OVER))), "left-right")
    assert (finding.outcome, finding.message) == ("pass", "Liver and heart do not agree on which side is left.")


def test_a_drawn_chest_is_warned_of_only_where_it_is_mirrored(chest):
    assert found(chest, "left-right").outcome == "pass"
    assert found(mirrored(chest), "left-right").outcome == "warned"


def test_the_storage_order_does_not_change_the_sides(chest):
    """Flipping array and affine together moves nothing in the patient."""
    flipped = chest.affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = chest.affine[:3, 3] + chest.affine[:3, 0] * (SHAPE[0] - 1)
    other = dataclasses.replace(chest, voxels=np.flip(chest.voxels, 0), affine=flipped)
    one, two = (sides_of(volume, estimate_lungs(volume)) for volume in (chest, other))
    assert one.solid_right_ml == pytest.approx(two.solid_right_ml, rel=0.05)
    assert one.solid_right_ml > 10 * one.solid_left_ml
    assert two.solid_right_ml > 10 * two.solid_left_ml


def test_without_a_liver_nothing_is_said_of_the_sides():
    high = volume_of(with_organs, affine_of(spacing=(4, 4, 4), shape=(90, 62, 20), centre=(0, 0, 50)), (90, 62, 20))
    finding = found(high, "left-right")
    assert (finding.outcome, "Too little of the liver" in finding.message) == ("pass", True)


@pytest.mark.parametrize(("centre", "end"), [(60, "bases"), (-60, "apices")])
def test_lungs_cut_off_are_told_with_their_end(centre, end):
    shape = (90, 62, 30)
    part = volume_of(chest_hu, affine_of(spacing=(4, 4, 4), shape=shape, centre=(0, 0, centre)), shape)
    finding = found(part, "lungs")
    assert finding.outcome == "warned"
    assert f"cuts the lungs off at the {end}." in finding.message


def test_one_half_of_a_chest_is_told_with_its_side():
    shape = (48, 62, 70)
    half = volume_of(chest_hu, affine_of(spacing=(4, 4, 4), shape=shape, centre=(-75, 0, 0)), shape)
    assert "but for the left side" in found(half, "lungs").message


def test_a_scan_without_lungs_is_refused_as_no_chest(real_ct):
    passport = inspect_scan(read_volume(real_ct("TotalSegmentator_abdomen/example_ct.nii.gz"))).passport
    assert (passport[-1].code, passport[-1].outcome) == ("not-a-chest", "refused")
    assert "--force" in passport[-1].hint


def test_a_refused_volume_keeps_the_findings_before_its_refusal(chest):
    volume = dataclasses.replace(chest, voxels=np.abs(chest.voxels))
    inspection = inspect_scan(volume)
    assert inspection.lungs is None
    assert [finding.outcome for finding in inspection.passport][-2:] == ["pass", "refused"]
    assert inspection.passport[-1].code == "not-hounsfield"
    assert inspection.passport[0].code == "affine"
