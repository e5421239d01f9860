"""The model frame: on the lungs, never losing any, and exactly invertible."""

from __future__ import annotations

import numpy as np
import pytest
from chests import LEFT_LUNG, RIGHT_LUNG, affine_of, axis_orders, chest_hu, ct_spacings, inside, rotations, volume_of
from hypothesis import given, settings

from simcrop_core.errors import NotAChest
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.lungs import estimate_lungs
from simcrop_core.imaging.volume import Volume
from simcrop_core.models.presets import PRESETS

FRAME = FrameConfig()
COARSE = PRESETS["tiny"].frame


def chest(shape=(128, 96, 110), spacing=(3.0, 3.0, 3.0), centre=(0, 0, 0), **orientation):
    return volume_of(chest_hu, affine_of(spacing=spacing, shape=shape, centre=centre, **orientation), shape)


def covered(frame, points_ras_mm):
    """Whether patient points lie in some tile of the frame."""
    index = index_in(frame.lattice.affine, points_ras_mm)
    return np.any(
        [
            ((index >= np.array(o) - 0.5) & (index < np.array(o) + frame.config.shape - 0.5)).all(-1)
            for o in frame.offsets
        ],
        axis=0,
    )


def lung_points(lungs):
    rng, points = np.random.default_rng(0), []
    for centre, radii in lungs:
        inner = rng.uniform(-1, 1, (4000, 3))
        points.append(np.asarray(centre) + inner[(inner**2).sum(1) < 0.95] * radii)
    return np.concatenate(points)


@given(axis=axis_orders, rotation=rotations, spacing=ct_spacings)
@settings(max_examples=100, deadline=None)
def test_a_landmark_survives_the_model_frame(axis, rotation, spacing):
    """Patient → patch grid → patient, and patient → volume voxel, to 0.1 mm, whatever the storage order."""
    affine = affine_of(order=axis[0], signs=axis[1], spacing=spacing, rotation=rotation, shape=(20, 18, 16))
    volume = Volume(np.zeros((20, 18, 16), dtype=np.int16), affine)
    frame = frame_volume(volume, FrameConfig(placement="volume"))
    landmark = apply(affine, [4.3, 9.1, 12.6])
    there = index_in(frame.patch_affine, landmark)
    np.testing.assert_allclose(apply(frame.patch_affine, there), landmark, atol=0.1)
    voxel = [0.0, 0.0, 0.0]
    for a in range(3):
        voxel[frame.lattice.axes[a]] = float(
            frame.lattice.voxel_coordinates(a, index_in(frame.lattice.affine, landmark)[a])
        )
    np.testing.assert_allclose(voxel, [4.3, 9.1, 12.6], atol=1e-6)


@given(axis=axis_orders)
@settings(max_examples=12, deadline=None)
def test_the_frame_is_the_same_for_every_storage_order(axis):
    """The patient's left is on the same side of the frame however the file stores it."""
    order, signs = axis
    shape = tuple((80, 60, 68)[a] for a in order)
    frame = frame_volume(chest(shape=shape, spacing=(5.0, 5.0, 5.0), order=order, signs=signs), COARSE)
    reference = frame_volume(chest(shape=(80, 60, 68), spacing=(5.0, 5.0, 5.0)), COARSE)
    np.testing.assert_allclose(frame.images_THWD, reference.images_THWD, atol=0.02)
    np.testing.assert_allclose(frame.patch_affine, reference.patch_affine, atol=1e-6)


def test_the_frame_is_centred_on_the_lungs_not_on_the_volume():
    """A chest-abdomen-pelvis scan, 80 cm long: the lungs are at its top, and the frame with them."""
    frame = frame_volume(chest(shape=(128, 96, 270), centre=(0, 0, -250)), FRAME)
    assert len(frame.offsets) == 1
    assert covered(frame, lung_points([LEFT_LUNG, RIGHT_LUNG])).all()
    centre = np.mean(frame.box_ras_mm, axis=0)
    np.testing.assert_allclose(centre, [2, 5, 0], atol=8)


def test_a_field_of_500_mm_covers_the_lungs_in_one_frame():
    frame = frame_volume(chest(shape=(167, 167, 110), centre=(40, -30, 0)), FRAME)
    assert len(frame.offsets) == 1
    assert covered(frame, lung_points([LEFT_LUNG, RIGHT_LUNG])).all()


@pytest.mark.parametrize("lung", [LEFT_LUNG, RIGHT_LUNG])
def test_an_opaque_lung_is_covered_like_the_other(lung):
    """A lung full of fluid is found by no threshold, and is not lost: the frame is as wide on its side."""

    def field(points):
        hu = chest_hu(points)
        hu[inside(points, *lung)] = 30
        return hu

    frame = frame_volume(volume_of(field, affine_of(spacing=(3, 3, 3), shape=(128, 96, 110)), (128, 96, 110)), FRAME)
    assert covered(frame, lung_points([LEFT_LUNG, RIGHT_LUNG])).all()
    assert frame.lungs.midline_r_mm == pytest.approx(0, abs=6)


@pytest.mark.parametrize(("side", "lung"), [(-1, LEFT_LUNG), (1, RIGHT_LUNG)])
def test_half_a_chest_is_covered(side, lung):
    """Only one half of the body is in the scan: its lung is found and covered, and there is no midline."""
    frame = frame_volume(chest(shape=(62, 96, 110), centre=(side * 93, 0, 0)), FRAME)
    assert covered(frame, lung_points([lung])).all()
    assert frame.lungs.midline_r_mm is None
    assert frame.lungs.half == ("left" if side < 0 else "right")


def tall_chest_hu(points):
    """Lungs of 42 cm: longer than any frame."""
    return chest_hu(points / [1, 1, 1.75])


def test_lungs_larger_than_a_frame_are_tiled_by_whole_patches():
    affine = affine_of(spacing=(3.0, 3.0, 3.0), shape=(128, 96, 170))
    frame = frame_volume(volume_of(tall_chest_hu, affine, (128, 96, 170)), FRAME)
    tall = [((x, y, z * 1.75), (a, b, c * 1.75)) for (x, y, z), (a, b, c) in (LEFT_LUNG, RIGHT_LUNG)]
    assert len(frame.offsets) == 2
    assert covered(frame, lung_points(tall)).all()
    steps = np.diff(frame.offsets, axis=0)
    assert (steps % FRAME.patch == 0).all()
    assert (steps <= np.array(FRAME.shape) - FRAME.tile_overlap * np.array(FRAME.patch)).all()
    assert frame.patch_grid == (14, 14, 14 + steps[0][2] // 8)


def test_no_lungs_is_refused_by_name_and_forced_on_request():
    water = Volume(np.zeros((60, 60, 60), dtype=np.int16), np.diag([4.0, 4.0, 4.0, 1.0]))
    with pytest.raises(NotAChest, match="No lungs"):
        frame_volume(water, FRAME)
    assert frame_volume(water, FRAME, force=True).lungs is None


def test_patches_beyond_the_scan_are_known():
    """A scan of 12 cm in a frame of 34: the levels that hold 6 mm of it or more, and no others."""
    frame = frame_volume(chest(shape=(128, 96, 40)), FRAME)
    levels = frame.patches_within_scan().any(axis=(0, 1))
    s_mm = apply(frame.patch_affine, np.stack([np.full(14, 7), np.full(14, 7), np.arange(14)], -1))[:, 2]
    held_mm = np.minimum(s_mm + 12, 60) - np.maximum(s_mm - 12, -60)
    np.testing.assert_array_equal(levels[np.abs(held_mm - 6) > 2], (held_mm > 6)[np.abs(held_mm - 6) > 2])


def test_a_scan_thinner_than_a_patch_still_has_patches():
    frame = frame_volume(chest(shape=(128, 96, 4)), FRAME)
    assert frame.patches_within_scan().any(axis=(0, 1)).sum() in (1, 2)


@pytest.mark.parametrize("rotation", [None, (20, -15, 12)])
def test_the_estimate_finds_both_lungs_and_the_midline(rotation):
    """Volume within a tenth of the ellipsoids' own, wherever the patient lies in the scanner."""
    lungs = estimate_lungs(chest(spacing=(2.5, 2.5, 4.0), shape=(160, 160, 84), rotation=rotation))
    drawn_ml = sum(4 / 3 * np.pi * np.prod(radii) for _, radii in (LEFT_LUNG, RIGHT_LUNG)) / 1000
    heart = inside(lung_points([LEFT_LUNG]), (-20, 20, -30), (45, 40, 55)).mean() * np.prod(LEFT_LUNG[1]) * 4.19 / 1000
    assert lungs.volume_ml == pytest.approx(drawn_ml - heart, rel=0.1)
    assert lungs.midline_r_mm == pytest.approx(0, abs=6)


@pytest.mark.parametrize(
    ("scan", "low", "high"),
    [
        # Lung boxes read off the label maps that come with the scans, RAS mm, to within a centimetre and a half.
        ("CIP_ct-64/ct-64.nrrd", None, None),
        ("LIDC-IDRI-0001/ct.nii.gz", "LIDC-IDRI-0001/totalsegmentator.nii.gz", (10, 11, 12, 13, 14)),
    ],
)
def test_real_lungs_are_inside_the_frame(real_ct, scan, low, high):
    """Every labelled lung voxel of the real scans lies inside the frame."""
    from simcrop_core.imaging.read import read_volume

    labels = read_volume(real_ct(low) if low else real_ct("CIP_ct-64/wholeLung-64.nrrd"))
    frame = frame_volume(read_volume(real_ct(scan)), FRAME)
    lung = np.isin(labels.voxels, high) if high else labels.voxels > 0
    assert covered(frame, apply(labels.affine, np.argwhere(lung)[::17])).mean() > 0.9999
