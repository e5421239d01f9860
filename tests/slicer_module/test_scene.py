"""Heatmaps in a real MRML scene: where they lie, what is drawn, and what a saved scene keeps."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import slicer
import vtk
from bare_slicer import BareSlicer
from chests import affine_of as chest_affine
from chests import axis_orders, rotations
from hypothesis import given, settings
from hypothesis import strategies as st
from SimCroPSlicerLib import palette, provenance, scene, views
from SimCroPSlicerLib.geometry import affine_of, matrix_of, world_point
from SimCroPSlicerLib.voxels import key_of, voxels_of
from vtk.util.numpy_support import vtk_to_numpy

from simcrop_core.errors import NotASingleVolume
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import Heatmap

SCALE = (0.4, 0.6)
SENTENCE = "Mass in the left lower lobe."


def scores_with_peak(peak, value=0.7, shape=(14, 14, 14)):
    scores = np.zeros(shape, np.float32)
    scores[peak] = value
    return scores


def ct_and_heatmap(bare, affine=None, patch_affine=None, peak=(5, 7, 8)):
    shape = (40, 36, 30)
    affine = chest_affine(shape=shape, spacing=(6.0, 7.0, 8.0)) if affine is None else affine
    patch_affine = chest_affine(shape=(14, 14, 14), spacing=(24.0,) * 3) if patch_affine is None else patch_affine
    ct = bare.add_volume(np.full(shape, -850, np.int16), affine)
    return ct, scene.add_heatmap(ct, scores_with_peak(peak), patch_affine, SENTENCE, scale=SCALE, facts={})


@settings(max_examples=25, deadline=None)
@given(order=axis_orders, rotation=rotations, spacing=st.tuples(*(st.floats(0.5, 9) for _ in range(3))))
def test_voxels_and_patches_lie_where_the_engine_says(order, rotation, spacing):
    """Any orientation, obliquity and spacing: both node and engine send every index to the same millimetre."""
    bare = BareSlicer()
    (axes, signs), shape = order, (5, 4, 3)
    affine = chest_affine(order=axes, signs=signs, spacing=spacing, rotation=rotation, shape=shape, centre=(9, -8, 7))
    voxels = np.arange(60, dtype=np.int16).reshape(shape)
    ct = bare.add_volume(voxels, affine)
    assert np.array_equal(voxels_of(ct), voxels)
    patches = chest_affine(order=axes, signs=signs, spacing=(24, 24, 24), rotation=rotation, shape=(14, 14, 14))
    scores = np.random.default_rng(1).random((14, 14, 14), dtype=np.float32)
    node = scene.add_heatmap(ct, scores, patches, SENTENCE, scale=SCALE, facts={})
    assert np.array_equal(scene.scores_of(node), scores)
    engine = Heatmap(scores, patches, SENTENCE)
    for index in ((0, 0, 0), (13, 0, 6), (2, 13, 13)):
        ijk_to_ras = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(ijk_to_ras)
        point = ijk_to_ras.MultiplyPoint((*index, 1))[:3]
        assert np.allclose(point, apply(patches, index), atol=1e-6)
        assert float(engine.sample(point)) == pytest.approx(float(scores[index]), abs=1e-4)
    assert np.allclose(affine_of(ct), affine, atol=1e-9)


def test_a_view_draws_the_peak_where_the_engine_says_and_nothing_elsewhere(bare):
    """On a tilted, flipped grid; the pixel at the peak has the strongest colour, and below the scale the CT is grey."""
    patches = chest_affine(
        order=(0, 1, 2), signs=(-1, -1, 1), spacing=(24.0,) * 3, rotation=(12, -8, 20), shape=(14, 14, 14)
    )
    ct, node = ct_and_heatmap(bare, patch_affine=patches)
    view = bare.slice_view()
    views.show_overlay(bare.scene, ct, node, 1.0)
    view.fit()
    peak = tuple(apply(patches, (5, 7, 8)))
    views.jump_to(bare.scene, peak)
    views.crosshair_of(bare.scene).SetCrosshairMode(slicer.vtkMRMLCrosshairNode.NoCrosshair)
    picture = view.picture().astype(int)
    row, column = view.pixel_of(peak)
    assert np.allclose(picture[row, column], np.multiply(palette.HEAT[-1], 255), atol=6)
    coloured = np.ptp(picture, axis=2) > 8
    distance_mm = np.hypot(*(np.argwhere(coloured) - (row, column)).T) * view.node.GetFieldOfView()[0] / 300
    assert coloured.any()
    assert distance_mm.max() < 24


def test_each_weights_scale_has_its_own_colours_and_is_never_the_maps_range(bare):
    ct, node = ct_and_heatmap(bare)
    twin = scene.add_heatmap(ct, scores_with_peak((1, 1, 1), 0.45), affine_of(node), "Other.", scale=SCALE, facts={})
    other = scene.add_heatmap(ct, scores_with_peak((1, 1, 1)), affine_of(node), "Third.", scale=(0.1, 0.9), facts={})
    colours = [n.GetDisplayNode().GetColorNodeID() for n in (node, twin, other)]
    assert colours[0] == colours[1] != colours[2]
    display = twin.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx(SCALE)
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(SCALE[0])
    scene.display_on_scale(twin, SCALE, threshold=0.1)
    assert display.GetLowerThreshold() == pytest.approx(SCALE[0]), "nothing below the scale is ever drawn"


@pytest.mark.parametrize("ramp", palette.RAMPS)
def test_lightness_of_the_heat_colours_rises_all_the_way(ramp):
    luminance = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in palette.RAMPS[ramp]]
    assert luminance == sorted(luminance)


def test_the_peak_is_a_box_of_one_patch_along_the_patch_axes(bare):
    patches = chest_affine(signs=(-1, 1, 1), spacing=(24.0, 20.0, 30.0), rotation=(5, 25, -10), shape=(14, 14, 14))
    ct, _ = ct_and_heatmap(bare, patch_affine=patches)
    peak = tuple(apply(patches, (3, 4, 5)))
    roi = scene.add_peak_box(ct, peak, patches, "peak", {})
    box = vtk.vtkMatrix4x4()
    box.DeepCopy(roi.GetObjectToWorldMatrix())
    corner = box.MultiplyPoint((12, 10, 15, 1))[:3]
    candidates = [apply(patches, np.add((3, 4, 5), np.array(c) - 0.5)) for c in np.ndindex(2, 2, 2)]
    assert min(np.linalg.norm(np.subtract(corner, c)) for c in candidates) < 1e-4
    assert roi.GetLocked()
    scene.move_peak_box(roi, (1.0, 2.0, 3.0), patches)
    assert np.allclose(roi.GetCenter(), (1, 2, 3))


@given(seed=st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_the_outline_runs_where_the_interpolated_score_is_the_threshold(seed):
    """Oracle: the engine's own trilinear sampling, on grid lines, where contour and interpolation agree exactly."""
    rng = np.random.default_rng(seed)
    scores = rng.random((6, 5, 4), dtype=np.float32)
    patches = chest_affine(signs=(1, -1, 1), spacing=(24.0, 24.0, 24.0), rotation=(7, 3, -9), shape=(6, 5, 4))
    surface = scene.region_surface(scores, patches, 0.5)
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
    indices = apply(np.linalg.inv(patches), points)
    inner = ((indices > -1e-3) & (indices < np.array(scores.shape) - 1 + 1e-3)).all(axis=1)
    assert inner.any()
    sampled = Heatmap(scores, patches, "").sample(points[inner])
    assert np.abs(sampled - 0.5).max() < 1e-3
    assert (indices > -0.5 - 1e-3).all()
    assert (indices < np.array(scores.shape) - 0.5 + 1e-3).all()


def test_outlines_of_several_sentences_have_their_own_colours_in_one_view(bare):
    ct, node = ct_and_heatmap(bare)
    second = scene.add_heatmap(ct, scores_with_peak((9, 7, 8)), affine_of(node), "Second.", scale=SCALE, facts={})
    view = bare.slice_view()
    views.show_overlay(bare.scene, ct, None, 0.0)
    view.fit()
    views.jump_to(bare.scene, tuple(apply(affine_of(node), (5, 7, 8))))
    views.crosshair_of(bare.scene).SetCrosshairMode(slicer.vtkMRMLCrosshairNode.NoCrosshair)
    for i, heat in enumerate((node, second)):
        scene.add_outline(ct, heat, SCALE[0], palette.sentence_colour(i))
    picture = view.picture().astype(int)
    for i in range(2):
        wanted = np.multiply(palette.sentence_colour(i), 255)
        assert (np.abs(picture - wanted).max(axis=2) < 40).any(), f"colour {i} is not in the view"


def test_local_maxima_come_best_first(bare):
    _, node = ct_and_heatmap(bare)
    scores = scores_with_peak((5, 7, 8))
    scores[6, 7, 8], scores[1, 2, 3], scores[12, 2, 3] = 0.65, 0.5, 0.3
    scene.set_scores(node, scores, affine_of(node))
    peaks = scene.peaks_of(node, SCALE[0])
    assert np.allclose(peaks, apply(affine_of(node), [(5, 7, 8), (1, 2, 3)]), atol=1e-6)


def test_results_move_with_a_volume_under_a_transform(bare):
    """A tilted gantry comes as a grid or linear transform over the volume: the heat stays on the same voxels."""
    ct, before = ct_and_heatmap(bare)
    tilt = bare.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "tilt")
    affine = np.eye(4)
    affine[1, 2], affine[0, 3] = 0.3, 17.0
    tilt.SetMatrixTransformToParent(matrix_of(affine))
    ct.SetAndObserveTransformNodeID(tilt.GetID())
    node = scene.add_heatmap(ct, scores_with_peak((5, 7, 8)), affine_of(before), "Tilted.", scale=SCALE, facts={})
    local = apply(affine_of(before), (5, 7, 8))
    assert np.allclose(scene.peaks_of(node, SCALE[0])[0], apply(affine, local), atol=1e-6)
    assert np.allclose(world_point(ct, local), apply(affine, local), atol=1e-6)
    roi = scene.add_peak_box(ct, tuple(local), affine_of(node), "peak", {})
    centre = [0.0, 0.0, 0.0]
    roi.GetCenterWorld(centre)
    assert np.allclose(centre, apply(affine, local), atol=1e-5)


def test_results_follow_a_grid_transform(bare):
    ct, before = ct_and_heatmap(bare)
    displacement = vtk.vtkImageData()
    displacement.SetDimensions(3, 3, 3)
    displacement.SetOrigin(-500, -500, -500)
    displacement.SetSpacing(500, 500, 500)
    displacement.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vtk_to_numpy(displacement.GetPointData().GetScalars())[:] = (0.0, 11.0, -4.0)
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(displacement)
    node = bare.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "gantry")
    node.SetAndObserveTransformToParent(grid)
    ct.SetAndObserveTransformNodeID(node.GetID())
    heat = scene.add_heatmap(ct, scores_with_peak((5, 7, 8)), affine_of(before), "Tilted.", scale=SCALE, facts={})
    expected = np.add(apply(affine_of(before), (5, 7, 8)), (0, 11, -4))
    assert np.allclose(scene.peaks_of(heat, SCALE[0])[0], expected, atol=1e-3)


def test_a_saved_scene_brings_everything_back(bare, tmp_path):
    """Scores, grid, scale, threshold, words, and what each result is about."""
    ct, node = ct_and_heatmap(bare)
    node.SetAttribute("SimCroP.weights", "starter")
    roi = scene.add_peak_box(ct, (1.0, 2.0, 3.0), affine_of(node), "peak", {})
    bare.save(tmp_path / "scene.mrb")
    other = BareSlicer.loaded(tmp_path / "scene.mrb").scene
    (back,) = provenance.results_in(other, "heatmap")
    assert np.array_equal(scene.scores_of(back), scene.scores_of(node))
    assert np.allclose(affine_of(back), affine_of(node), atol=1e-6)
    display = back.GetDisplayNode()
    assert display.GetColorNode().GetColorTransferFunction().GetRange() == pytest.approx(SCALE)
    assert display.GetLowerThreshold() == pytest.approx(SCALE[0])
    assert provenance.fact(back, "sentence") == SENTENCE
    assert provenance.structured(back, "scale") == list(SCALE)
    assert provenance.source_of(back).GetName() == ct.GetName()
    (box,) = provenance.results_in(other, "peak", provenance.source_of(back))
    assert np.allclose(box.GetSize(), roi.GetSize())


def test_the_words_of_a_report_can_be_taken_out_before_saving(bare, tmp_path):
    ct_and_heatmap(bare)
    assert provenance.holds_text(bare.scene)
    assert provenance.forget_text(bare.scene) == 1
    assert not provenance.holds_text(bare.scene)
    bare.save(tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        names = " ".join(archive.namelist())
        mrml = next(archive.read(n).decode() for n in archive.namelist() if n.endswith(".mrml"))
    assert "lower lobe" not in names + mrml


def test_results_stand_beside_their_volume_in_its_study(bare):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(bare.scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    study = hierarchy.CreateStudyItem(patient, "study")
    ct, before = ct_and_heatmap(bare)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(ct), study)
    node = scene.add_heatmap(ct, scores_with_peak((1, 1, 1)), affine_of(before), "Here.", scale=SCALE, facts={})
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_the_key_changes_with_voxels_and_geometry_and_nothing_else(bare):
    ct, _ = ct_and_heatmap(bare)
    key = key_of(ct)
    ct.SetName("renamed")
    views.set_window(ct, "mediastinum")
    assert key_of(ct) == key
    ct.GetImageData().GetPointData().GetScalars().Modified()
    ct.GetImageData().Modified()
    changed = key_of(ct)
    assert changed != key
    affine = affine_of(ct)
    affine[0, 3] += 1
    ct.SetIJKToRASMatrix(matrix_of(affine))
    assert key_of(ct) != changed


def test_what_is_no_ct_is_refused_by_name(bare):
    empty = bare.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(NotASingleVolume, match="empty"):
        voxels_of(empty)
    colours = bare.add_volume(np.zeros((3, 3, 3), np.uint8), np.eye(4), "colours")
    rgb = vtk.vtkUnsignedCharArray()
    rgb.SetNumberOfComponents(3)
    rgb.SetNumberOfTuples(27)
    colours.GetImageData().GetPointData().SetScalars(rgb)
    with pytest.raises(NotASingleVolume, match="3 values"):
        voxels_of(colours)
