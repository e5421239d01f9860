"""Views: jumps, windows, and leaving everything as it was."""

from __future__ import annotations

import numpy as np
import slicer
from SimCroPSlicerLib import views


def volume(bare, name):
    return bare.add_volume(np.zeros((20, 20, 20), np.int16), np.diag([5.0, 5, 5, 1]), name)


def test_a_jump_brings_all_slices_and_the_crosshair(bare):
    ct = volume(bare, "ct")
    slices = [bare.slice_view(name, side) for name, side in (("Red", "Axial"), ("Green", "Coronal"))]
    views.show_overlay(bare.scene, ct, None, 0.5)
    for view in slices:
        view.fit()
    views.jump_to(bare.scene, (31.0, 42.0, 53.0))
    for view, axis in zip(slices, (2, 1), strict=True):
        centre = [view.node.GetSliceToRAS().GetElement(i, 3) for i in range(3)]
        assert abs(centre[axis] - (31, 42, 53)[axis]) < 1e-6
    assert np.allclose(views.crosshair_of(bare.scene).GetCrosshairRAS(), (31, 42, 53))


def test_a_jump_moves_a_view_sideways_only_where_the_point_would_not_be_seen(bare):
    ct = volume(bare, "ct")
    view = bare.slice_view()
    views.show_overlay(bare.scene, ct, None, 0.5)
    view.fit()
    fitted = [view.node.GetSliceToRAS().GetElement(i, 3) for i in range(2)]
    views.jump_to(bare.scene, (31.0, 42.0, 53.0))
    assert [view.node.GetSliceToRAS().GetElement(i, 3) for i in range(2)] == fitted
    assert abs(view.node.GetSliceToRAS().GetElement(2, 3) - 53) < 1e-6
    views.jump_to(bare.scene, (31.0, 4200.0, 53.0))
    assert np.allclose([view.node.GetSliceToRAS().GetElement(i, 3) for i in range(3)], (31, 4200, 53))


def test_leaving_puts_overlay_window_layout_and_crosshair_back(bare):
    ours, theirs = volume(bare, "ct"), volume(bare, "pet")
    bare.slice_view()
    layout = bare.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    views.show_overlay(bare.scene, ours, theirs, 0.37)
    ours.GetDisplayNode().SetAutoWindowLevel(False)
    ours.GetDisplayNode().SetWindowLevel(350, 50)
    state = views.ViewState(bare.scene)
    state.remember_window(ours)

    views.show_overlay(bare.scene, ours, None, 0.9)
    views.set_window(ours, "lung")
    state.remember_window(ours)
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    views.jump_to(bare.scene, (1.0, 2.0, 3.0))
    assert ours.GetDisplayNode().GetWindow() == 1500
    state.restore()

    (composite,) = views.composites(bare.scene)
    assert composite.GetForegroundVolumeID() == theirs.GetID()
    assert composite.GetForegroundOpacity() == 0.37
    assert (ours.GetDisplayNode().GetWindow(), ours.GetDisplayNode().GetLevel()) == (350, 50)
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert views.crosshair_of(bare.scene).GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.NoCrosshair


def test_leaving_does_not_trip_over_what_was_deleted_meanwhile(bare):
    ours, theirs = volume(bare, "ct"), volume(bare, "pet")
    bare.slice_view()
    views.show_overlay(bare.scene, ours, theirs, 0.5)
    state = views.ViewState(bare.scene)
    state.remember_window(theirs)
    bare.scene.RemoveNode(theirs)
    state.restore()
    (composite,) = views.composites(bare.scene)
    assert composite.GetBackgroundVolumeID() == ours.GetID()
    assert composite.GetForegroundVolumeID() is None
