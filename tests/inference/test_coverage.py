"""What the model saw of the patient: which levels of the body, which side, and which side a peak is on."""

from __future__ import annotations

import numpy as np
import pytest
from chests import LEFT_LUNG, RIGHT_LUNG, affine_of, chest_hu, inside, volume_of
from hand_set_weights import BRIGHT

from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.coverage import covers, on_the_other_side

# The drawn lungs reach from 120 mm below to 120 mm above the middle; their frame 168 mm both ways.
APEX_MM, BASE_MM = 120, -120
SPACING_MM = 5.0
PATCH_MM = 24.0
SIDES = ("left", "right")


def framed(field=chest_hu, *, low_mm=-170, high_mm=170, width_mm=384, centre_r_mm=0):
    """The frame of a drawn scan between two levels of the body."""
    shape = (round(width_mm / SPACING_MM), 52, round((high_mm - low_mm) / SPACING_MM))
    centre = (centre_r_mm, 0, (low_mm + high_mm) / 2)
    affine = affine_of(spacing=(SPACING_MM,) * 3, shape=shape, centre=centre)
    return frame_volume(volume_of(field, affine, shape), BRIGHT.frame)


@pytest.fixture(scope="module")
def chest():
    """A chest scan with a little neck and upper abdomen."""
    return framed()


@pytest.fixture(scope="module")
def trunk():
    """From the head to the pelvis: the scan holds all of it, the frame does not."""
    return framed(low_mm=-500, high_mm=330)


@pytest.fixture(scope="module")
def off_centre():
    """A patient who lies 60 mm to the right of the scanner's middle."""
    return framed(lambda points: chest_hu(points - [60, 0, 0]), centre_r_mm=60)


@pytest.fixture(scope="module")
def white_left():
    """A chest whose left lung holds no air."""

    def field(points):
        hu = chest_hu(points)
        hu[inside(points, *LEFT_LUNG)] = 20
        return hu

    return framed(field)


@pytest.fixture(scope="module")
def right_half():
    """A scan of the right half of the body."""
    return framed(width_mm=180, centre_r_mm=85)


@pytest.mark.parametrize("side", [None, "bilateral", *SIDES])
@pytest.mark.parametrize("region", [None, "chest"])
def test_a_chest_holds_what_is_said_of_the_chest(chest, trunk, region, side):
    assert covers(chest, region, side)
    assert covers(trunk, region, side)


@pytest.mark.parametrize("region", ["head", "kidneys", "lower abdomen", "limbs"])
def test_what_lies_beyond_the_frame_is_outside_though_the_scan_goes_on(chest, trunk, region):
    assert not covers(chest, region, None)
    assert not covers(trunk, region, None)


def test_the_edge_of_the_scan_counts_as_that_of_the_frame_does():
    """A scan that ends at the apices holds no neck; one that ends at the bases holds the domes of liver and spleen."""
    assert covers(framed(high_mm=APEX_MM + 40), "neck", None)
    assert not covers(framed(high_mm=APEX_MM + 5), "neck", None)
    assert covers(framed(low_mm=BASE_MM - 5), "upper abdomen", None)


def test_limbs_are_never_looked_for_even_on_a_named_side(chest):
    assert not covers(chest, "limbs", "left")


def test_the_whole_of_several_tiles_counts():
    """Lungs of 39 cm: the liver is in the lower tile, the neck in the upper one."""
    frame = framed(lambda points: chest_hu(points / [1, 1, 1.62]), low_mm=-330, high_mm=330)
    assert len(frame.offsets) == 2
    assert covers(frame, "upper abdomen", None)
    assert covers(frame, "neck", None)
    assert not covers(frame, "lower abdomen", None)


@pytest.mark.parametrize("side", SIDES)
def test_a_lung_without_air_is_still_in_the_scan(white_left, side):
    """The sentence that matters most there is about the white side."""
    assert covers(white_left, "chest", side)
    (low_r_mm, _, _), (high_r_mm, _, _) = white_left.box_ras_mm
    assert low_r_mm < LEFT_LUNG[0][0] - LEFT_LUNG[1][0]
    assert high_r_mm > RIGHT_LUNG[0][0] + RIGHT_LUNG[1][0]


def test_half_a_chest_has_one_side_only(right_half):
    assert covers(right_half, "chest", "right")
    assert not covers(right_half, "chest", "left")
    assert covers(right_half, "chest", "bilateral")
    assert covers(right_half, "chest", None)


def test_a_scan_without_lungs_is_not_judged():
    water = Volume(np.zeros((40, 40, 40), dtype=np.int16), np.diag([5.0, 5.0, 5.0, 1.0]))
    frame = frame_volume(water, BRIGHT.frame, force=True)
    assert frame.lungs is None
    assert covers(frame, "head", "left")
    assert not any(on_the_other_side(frame, side, r_mm, PATCH_MM) for side in SIDES for r_mm in (-100.0, 100.0))


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_half_a_patch_beyond_the_midline_is_the_other_side(chest, side, sign):
    """R grows to the patient's right: a left finding conflicts at midline + 12 mm, a right one at midline − 12 mm."""
    midline = chest.lungs.midline_r_mm
    assert midline == pytest.approx(0, abs=6)
    for within in (-80.0, -12.1, 0.0, 11.9):
        assert not on_the_other_side(chest, side, midline + sign * within, PATCH_MM)
    for beyond in (12.1, 80.0):
        assert on_the_other_side(chest, side, midline + sign * beyond, PATCH_MM)


def test_sides_are_those_of_the_patient_not_of_the_scanner(off_centre):
    """R = +30 mm is right of the scanner's middle, but 30 mm left of this patient's spine."""
    assert not on_the_other_side(off_centre, "left", 30.0, PATCH_MM)
    assert on_the_other_side(off_centre, "right", 30.0, PATCH_MM)
    assert on_the_other_side(off_centre, "left", 90.0, PATCH_MM)


@pytest.mark.parametrize("side", [None, "bilateral"])
@pytest.mark.parametrize("r_mm", [-100.0, 0.0, 100.0])
def test_a_sentence_without_one_side_never_conflicts(chest, side, r_mm):
    assert not on_the_other_side(chest, side, r_mm, PATCH_MM)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("r_mm", [-100.0, 40.0, 160.0])
def test_half_a_chest_has_no_other_side(right_half, side, r_mm):
    assert not on_the_other_side(right_half, side, r_mm, PATCH_MM)


def test_a_scan_that_ends_above_the_diaphragm_holds_no_abdomen():
    """The upper half of the lungs only: a liver sentence has nowhere to go."""
    shape = (80, 60, 36)
    affine = affine_of(spacing=(5, 5, 5), shape=shape, centre=(0, 0, 85))
    frame = frame_volume(volume_of(chest_hu, affine, shape), FrameConfig())
    assert not covers(frame, "upper abdomen", None)
    assert covers(frame, "chest", "left")
