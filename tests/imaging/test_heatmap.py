"""Heatmaps in the patient: sampled against SimpleITK, and one fixed meaning of colour."""

from __future__ import annotations

import numpy as np
from chests import affine_of, axis_orders, rotations, sitk_image
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.volume import Volume

LPS = np.array([-1.0, -1.0, 1.0])


@given(axis=axis_orders, rotation=rotations, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_heatmap_has_the_value_that_simpleitk_finds_at_the_same_point(axis, rotation, seed):
    """Any orientation; points in the grid, within half a patch of its edge, and beyond it."""
    draw = np.random.default_rng(seed)
    shape = (5, 4, 6)
    affine = affine_of(order=axis[0], signs=axis[1], spacing=(24, 21, 18), rotation=rotation, centre=(9, -40, 3))
    heatmap = Heatmap(draw.uniform(-1, 1, shape).astype(np.float32), affine, "A nodule.")
    points = apply(affine, draw.uniform(-1.2, np.array(shape) + 0.2, (60, 3)))

    itk = sitk_image(Volume(heatmap.scores, affine))
    inside = [itk.EvaluateAtPhysicalPoint(point.tolist()) if _within(itk, point) else np.nan for point in points * LPS]
    np.testing.assert_allclose(heatmap.sample(points), inside, atol=2e-5)


def _within(itk, point):
    index = np.array(itk.TransformPhysicalPointToContinuousIndex(point.tolist()))
    return bool(((index > -0.5) & (index < np.array(itk.GetSize()) - 0.5)).all())


def test_points_may_come_in_any_arrangement():
    heatmap = Heatmap(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.eye(4), "A nodule.")
    assert heatmap.sample([1, 0, 1]) == 5
    assert heatmap.sample(np.zeros((3, 7, 3))).shape == (3, 7)


def test_the_bounds_are_those_of_the_patches_and_not_of_their_centres():
    affine = affine_of(order=(2, 0, 1), signs=(-1, 1, 1), spacing=(24, 24, 24), shape=(3, 5, 4), centre=(10, 20, 30))
    heatmap = Heatmap(np.zeros((3, 5, 4), dtype=np.float32), affine, "A nodule.")
    np.testing.assert_allclose(heatmap.bounds_ras_mm(), [[-50, -28, -6], [70, 68, 66]])
    np.testing.assert_allclose(heatmap.patch_mm, (24, 24, 24))


def test_nothing_below_the_threshold_has_a_colour_and_everything_above_has_a_fixed_one():
    scale = ColourScale(0.2, 0.6)
    np.testing.assert_allclose(
        scale.position([-1, 0.1999, 0.2, 0.4, 0.6, 0.9, np.nan]), [np.nan, np.nan, 0, 0.5, 1, 1, np.nan], atol=1e-6
    )
