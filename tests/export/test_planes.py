"""Planes through the patient: the right place, the right way round, whatever the storage order."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from chests import affine_of, axis_orders, ct_spacings, rotations, sitk_image, volume_of
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.export.overlay import plane_picture
from simcrop_core.export.planes import VIEWS, grid_box_outline, plane
from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.imaging.volume import Volume

AXIAL, CORONAL, SAGITTAL = VIEWS
WINDOW = (-1000.0, 1000.0)
# A cube on the patient's left, in front, and high.
CUBE = np.array([-30.0, 25.0, 20.0])
BOX = np.array([[-60.0, -50.0, -40.0], [60.0, 50.0, 40.0]])


def cube_hu(points):
    return np.where(np.abs(points - CUBE).max(axis=-1) < 8, 1000, -1000)


@given(axis=axis_orders, rotation=rotations, spacing=ct_spacings, view=st.sampled_from(VIEWS))
@settings(max_examples=40, deadline=None)
def test_a_plane_shows_what_simpleitk_resamples_there(axis, rotation, spacing, view):
    shape = (21, 19, 17)
    affine = affine_of(order=axis[0], signs=axis[1], spacing=spacing, rotation=rotation, shape=shape)
    volume = Volume(np.random.default_rng(1).integers(-900, 900, shape).astype(np.int16), affine)
    cut = plane(view, BOX / 3, (1.0, 2.0, 3.0), 2.5)
    ours = plane_picture(cut, volume, None, ColourScale(0, 1), WINDOW)

    rows, columns, _ = cut.points_ras_mm.shape
    grid = SimpleITK.Image(columns, rows, 1, SimpleITK.sitkFloat32)
    lps = np.array([-1.0, -1.0, 1.0])
    across, down = -np.eye(3)[view.across] * lps, -np.eye(3)[view.down] * lps
    grid.SetDirection(np.stack([across, down, np.cross(across, down)], axis=1).ravel().tolist())
    grid.SetSpacing([2.5] * 3)
    grid.SetOrigin((cut.points_ras_mm[0, 0] * lps).tolist())
    hu = SimpleITK.Resample(sitk_image(volume), grid, SimpleITK.Transform(), SimpleITK.sitkLinear, WINDOW[0])
    expected = (SimpleITK.GetArrayFromImage(hu)[0] - WINDOW[0]) / (WINDOW[1] - WINDOW[0])
    different = np.abs(ours[..., 0] - expected) > 1e-4
    assert different.mean() < 0.03, "more than the voxel faces that rounding decides"
    assert (ours == ours[..., :1]).all()


@given(axis=axis_orders, rotation=rotations)
@settings(max_examples=15, deadline=None)
def test_a_known_cube_is_where_the_patient_has_it_in_radiological_convention(axis, rotation):
    """The patient's left is on the right of the picture, the front on top or on the left, the head on top."""
    shape = (60, 56, 40)
    order, signs = axis
    spacing = [(2.0, 2.2, 3.0)[a] for a in order]
    shape = tuple(shape[a] for a in order)
    affine = affine_of(order=order, signs=signs, spacing=spacing, rotation=rotation, shape=shape)
    volume = volume_of(cube_hu, affine, shape)
    for view, right, below in ((AXIAL, True, False), (CORONAL, True, False), (SAGITTAL, False, False)):
        cut = plane(view, BOX, tuple(CUBE), 2.0)
        bright = plane_picture(cut, volume, None, ColourScale(0, 1), WINDOW)[..., 0] > 0.5
        row, column = np.argwhere(bright).mean(axis=0)
        rows, columns = bright.shape
        assert (column > 0.55 * columns) == right
        assert (row > 0.55 * rows) == below
        found = cut.points_ras_mm[bright].mean(axis=0)
        np.testing.assert_allclose(found, CUBE, atol=1.5)


def test_the_letters_name_the_edges():
    """Each edge of the picture lies towards its letter from the middle."""
    towards = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    for view in VIEWS:
        points = plane(view, BOX, (0, 0, 0), 1.0).points_ras_mm
        rows, columns, _ = points.shape
        edges = (points[rows // 2, 0], points[rows // 2, -1], points[0, columns // 2], points[-1, columns // 2])
        for letter, edge in zip(view.letters, edges, strict=True):
            assert np.dot(edge, towards[letter]) > 30


def test_pixels_are_square_millimetres_within_the_box():
    cut = plane(CORONAL, np.array([[-10.0, -20, -30], [15, 25, 35]]), (0, 4, 0), 0.5)
    assert cut.points_ras_mm.shape == (130, 50, 3)
    assert cut.extent_mm == (15, -10, -30, 35)
    np.testing.assert_allclose(cut.points_ras_mm[0, 0], (14.75, 4, 34.75))
    np.testing.assert_allclose(cut.points_ras_mm[-1, -1], (-9.75, 4, -29.75))


def test_the_outline_of_a_straight_patch_is_its_rectangle():
    affine = np.diag([24.0, -20.0, 16.0, 1.0])
    outline = grid_box_outline(affine, (1, 2, 0), AXIAL, 3.0)
    assert sorted(map(tuple, np.round(outline, 6))) == [(12, -50), (12, -30), (36, -50), (36, -30)]
    assert _area(outline) == pytest.approx(24 * 20)
    assert len(grid_box_outline(affine, (1, 2, 0), AXIAL, 8.5)) == 0


def test_the_outline_of_a_patch_turned_by_45_degrees_is_a_diamond():
    affine = affine_of(spacing=(24, 24, 24), rotation=(0, 0, 45))
    axial = grid_box_outline(affine, (0, 0, 0), AXIAL, 0.0)
    reach = 12 * np.sqrt(2)
    np.testing.assert_allclose(np.abs(axial).max(axis=0), (reach, reach))
    assert _area(axial) == pytest.approx(24 * 24)
    coronal = grid_box_outline(affine, (0, 0, 0), CORONAL, 0.1)
    np.testing.assert_allclose(np.ptp(coronal, axis=0), (2 * (reach - 0.1), 24))


def _area(polygon):
    x, y = polygon.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
