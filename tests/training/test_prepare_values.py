"""Both releases of CT-RATE give the same store, and what was rescaled twice never gets in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ct_rate_files import save, save_lps
from hypothesis import given
from hypothesis import settings as run_settings
from hypothesis import strategies as st
from simcrop_training.datasets.study import Rescale, SourceVolume, StatedGeometry
from simcrop_training.prepare.hounsfield import rescaled_twice, stated_affine
from simcrop_training.prepare.volume import checked_scan, framed_scan, prepare_volume
from store_making import QUICK

from simcrop_core.errors import BrokenGeometry, NotAChest, NotHounsfield, SimCroPError
from simcrop_core.imaging.affine import orientation, spacing_mm
from simcrop_core.imaging.read import read_volume

UPRIGHT = StatedGeometry((4.0, 4.0, 4.0), ((1, 0, 0), (0, 1, 0)), (-150.0, -140.0, 30.0))
INTERCEPT = Rescale(1.0, -1024.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory, coarse_chest):
    """The same chest as release 2 has it, as release 1 has it, and rescaled once too often."""
    folder = tmp_path_factory.mktemp("values")
    save_lps(folder / "fixed.nii.gz", coarse_chest, (4, 4, 4))
    stored = (coarse_chest[::-1, ::-1] + 1024).astype(np.int16)
    # Release 1's headers: a spacing that is not the scan's, axes that are not the patient's.
    save(folder / "raw.nii.gz", stored, np.diag([0.7, 0.7, 1.0, 1.0]))
    save(folder / "hu.nii.gz", coarse_chest[::-1, ::-1], np.diag([0.7, 0.7, 1.0, 1.0]))
    save_lps(folder / "twice.nii.gz", (coarse_chest - 1024).astype(np.int16), (4, 4, 4))
    return folder


@pytest.fixture(scope="module")
def fixed(files):
    return prepare_volume(SourceVolume("s", files / "fixed.nii.gz", stated_spacing_mm=(4, 4, 4)), QUICK)


def test_release_1_and_release_2_of_a_scan_are_stored_alike(files, fixed):
    raw = prepare_volume(SourceVolume("s", files / "raw.nii.gz", INTERCEPT, UPRIGHT), QUICK)
    assert raw.volume.digest == fixed.volume.digest
    assert raw.volume.frame_start == fixed.volume.frame_start


def test_a_rescale_that_was_applied_already_is_not_applied_again(files, fixed):
    again = prepare_volume(SourceVolume("s", files / "hu.nii.gz", INTERCEPT, UPRIGHT), QUICK)
    assert again.volume.digest == fixed.volume.digest
    assert [(f.code, f.outcome) for f in again.findings if f.outcome != "pass"] == [("rescale", "repaired")]


def test_a_scan_that_came_rescaled_twice_is_refused(files):
    with pytest.raises(NotHounsfield, match="twice"):
        checked_scan(SourceVolume("s", files / "twice.nii.gz"))


def test_the_guard_fires_above_80_percent_of_emptiness_or_without_density():
    chest = np.concatenate([np.full(790, -1010.0), np.full(200, 50.0), np.full(10, 400.0)])
    assert not rescaled_twice(chest)
    assert rescaled_twice(np.concatenate([chest, np.full(100, -1000.0)]))
    assert rescaled_twice(np.minimum(chest, 99.0))
    assert rescaled_twice(chest - 1024)


def test_real_chests_pass_the_guard_and_fail_it_once_rescaled_again(real_ct):
    for scan in ("CIP_ct-64/ct-64.nrrd", "LIDC-IDRI-0001/ct.nii.gz", "COVID-CT-MD_P002/ct_2mm.nii.gz"):
        voxels = read_volume(real_ct(scan)).voxels[::4, ::4, ::4].astype(np.float64)
        assert not rescaled_twice(voxels)
        assert rescaled_twice(voxels - 1024)


def test_a_spacing_that_table_and_file_disagree_on_is_said_and_the_files_is_used(files, fixed):
    odd = prepare_volume(SourceVolume("s", files / "fixed.nii.gz", stated_spacing_mm=(4, 4, 1.5)), QUICK)
    assert odd.volume.digest == fixed.volume.digest
    assert [(f.code, f.outcome) for f in odd.findings if f.outcome != "pass"] == [("stated-spacing", "warned")]
    assert "stated-spacing" in [f.code for f in fixed.findings]


@run_settings(max_examples=40, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(-0.4, 0.4), st.tuples(*[st.floats(0.4, 4)] * 3))
def test_a_stated_geometry_keeps_spacing_direction_and_origin(turn, tilt, spacing):
    """By hand: the table speaks LPS, where x and y have the other sign; the first voxel is where the table says."""
    first = (np.cos(turn), np.sin(turn), 0.0)
    second = (-np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), np.sin(tilt))
    affine = stated_affine(StatedGeometry(spacing, (first, second), (1.0, 2.0, 3.0)))
    assert spacing_mm(affine) == pytest.approx(spacing)
    assert affine[:3, 3] == pytest.approx((-1, -2, 3))
    assert affine[:3, 0] / spacing[0] == pytest.approx((-first[0], -first[1], first[2]))
    assert affine[:3, 1] @ affine[:3, 2] == pytest.approx(0, abs=1e-9)
    assert np.linalg.det(affine[:3, :3]) > 0


def test_an_upright_table_is_lps():
    assert orientation(stated_affine(UPRIGHT)) == ("L", "P", "S")


def test_what_is_stored_is_the_frame_and_its_margin_within_the_scan(files, fixed):
    """By hand: 100 × 72 × 84 voxels of 4 mm are 67 × 48 × 29 points of 6 × 6 × 12 mm; the frame is 56 × 56 × 28."""
    scan, _ = checked_scan(SourceVolume("s", files / "fixed.nii.gz"))
    shapes = [framed_scan(scan, dataclasses.replace(QUICK, margin_mm=mm)).voxels.shape for mm in (0.0, 24.0, 999.0)]
    assert shapes == [(56, 48, 28), (64, 48, 29), (67, 48, 29)]
    assert fixed.volume.shape == shapes[1]


def test_a_scan_without_lungs_is_refused(tmp_path):
    block = np.where(np.indices((60, 60, 60)).sum(0) % 7, 40, -300).astype(np.int16)
    block[:5], block[-2:] = -1000, 300
    save_lps(tmp_path / "block.nii.gz", block, (4, 4, 4))
    with pytest.raises(NotAChest):
        prepare_volume(SourceVolume("s", tmp_path / "block.nii.gz"), QUICK)


def test_a_table_whose_axes_are_no_axes_is_refused(files):
    flat = dataclasses.replace(UPRIGHT, directions_lps=((1, 0, 0), (1, 0, 0)))
    with pytest.raises(BrokenGeometry):
        prepare_volume(SourceVolume("s", files / "raw.nii.gz", INTERCEPT, flat), QUICK)


def test_a_file_that_is_no_scan_is_refused_by_name(tmp_path):
    (tmp_path / "empty.nii.gz").touch()
    with pytest.raises(SimCroPError):
        prepare_volume(SourceVolume("s", tmp_path / "empty.nii.gz"), QUICK)
