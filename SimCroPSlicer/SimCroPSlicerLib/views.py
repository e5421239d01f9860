"""What the user sees: jumps, overlay, windows, and the way back to how it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import slicer

from SimCroPSlicerLib.geometry import Point

WindowName = Literal["lung", "mediastinum", "bone"]
# Window and level in HU, as radiologists use them for the chest.
WINDOWS: dict[WindowName, tuple[float, float]] = {
    "lung": (1500.0, -600.0),
    "mediastinum": (400.0, 40.0),
    "bone": (2000.0, 300.0),
}


def composites(scene: Any) -> list[Any]:
    """The slice composite nodes: one a slice view."""
    return _nodes(scene, "vtkMRMLSliceCompositeNode")


def _nodes(scene: Any, class_name: str) -> list[Any]:
    return [scene.GetNthNodeByClass(i, class_name) for i in range(scene.GetNumberOfNodesByClass(class_name))]


def crosshair_of(scene: Any) -> Any:
    """The scene's one crosshair, or None in a scene without views."""
    return scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


def crosshair_point(scene: Any) -> Point | None:
    """Where the crosshair is in the world (RAS, mm); None in a scene without one."""
    crosshair = crosshair_of(scene)
    if crosshair is None:
        return None
    r, a, s = crosshair.GetCrosshairRAS()
    return float(r), float(a), float(s)


def jump_to(scene: Any, world_ras_mm: Point) -> None:
    """Bring every slice view, and the crosshair of slices and 3D, to a point of the world.

    A view is moved sideways only where the point lies outside it: what is in sight stays in sight.

    Args:
        scene: whose views.
        world_ras_mm: the point.
    """
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *world_ras_mm, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    for view in _nodes(scene, "vtkMRMLSliceNode"):
        if not _in_sight(view, world_ras_mm):
            view.JumpSliceByCentering(*world_ras_mm)
    crosshair = crosshair_of(scene)
    if crosshair is not None:
        crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowBasic)
        crosshair.SetCrosshairRAS(*world_ras_mm)


def _in_sight(view: Any, world_ras_mm: Point) -> bool:
    """Whether a point of a view's slice lies within what the view shows of it."""
    matrix = view.GetSliceToRAS()
    from_centre = [r - matrix.GetElement(i, 3) for i, r in enumerate(world_ras_mm)]
    across, down = (sum(matrix.GetElement(i, axis) * d for i, d in enumerate(from_centre)) for axis in (0, 1))
    width_mm, height_mm, _depth = view.GetFieldOfView()
    return 2 * abs(across) <= width_mm and 2 * abs(down) <= height_mm


def show_overlay(scene: Any, background: Any, heatmap: Any | None, opacity: float) -> None:
    """Show a heatmap over the CT in every slice view; None shows the CT alone."""
    for composite in composites(scene):
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(heatmap.GetID() if heatmap is not None else None)
        composite.SetForegroundOpacity(opacity)


def set_opacity(scene: Any, opacity: float) -> None:
    """How strongly the overlay covers the CT in every slice view, 0 to 1."""
    for composite in composites(scene):
        composite.SetForegroundOpacity(opacity)


def set_window(volume: Any, name: WindowName) -> None:
    """Show a CT in the lung or the mediastinal window."""
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(*WINDOWS[name])


@dataclass(frozen=True)
class _Layers:
    background: str | None
    foreground: str | None
    label: str | None
    opacity: float


class ViewState:
    """How the views were when the panel was opened: overlays, crosshair, layout, and the CT's window and level.

    Args:
        scene: whose views.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._layers = {
            node.GetID(): _Layers(
                node.GetBackgroundVolumeID(),
                node.GetForegroundVolumeID(),
                node.GetLabelVolumeID(),
                node.GetForegroundOpacity(),
            )
            for node in composites(scene)
        }
        self._windows: dict[str, tuple[bool, float, float]] = {}
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        self._layout = None if layout is None else layout.GetViewArrangement()
        crosshair = crosshair_of(scene)
        self._crosshair = None if crosshair is None else (crosshair.GetCrosshairMode(), crosshair.GetCrosshairRAS())

    def remember_window(self, volume: Any) -> None:
        """Keep a volume's window and level as they are now; the first time counts."""
        display = volume.GetDisplayNode()
        if display is not None and display.GetID() not in self._windows:
            kept = (bool(display.GetAutoWindowLevel()), display.GetWindow(), display.GetLevel())
            self._windows[display.GetID()] = kept

    def restore(self) -> None:
        """Put everything back; what has gone from the scene meanwhile is left out."""
        for node_id, layers in self._layers.items():
            node = self._scene.GetNodeByID(node_id)
            if node is not None:
                node.SetBackgroundVolumeID(self._present(layers.background))
                node.SetForegroundVolumeID(self._present(layers.foreground))
                node.SetLabelVolumeID(self._present(layers.label))
                node.SetForegroundOpacity(layers.opacity)
        for display_id, (automatic, window, level) in self._windows.items():
            display = self._scene.GetNodeByID(display_id)
            if display is not None:
                display.SetWindowLevel(window, level)
                display.SetAutoWindowLevel(automatic)
        layout = self._scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if layout is not None and self._layout is not None:
            layout.SetViewArrangement(self._layout)
        crosshair = crosshair_of(self._scene)
        if crosshair is not None and self._crosshair is not None:
            mode, (r, a, s) = self._crosshair
            crosshair.SetCrosshairMode(mode)
            crosshair.SetCrosshairRAS(r, a, s)

    def _present(self, node_id: str | None) -> str | None:
        return node_id if node_id and self._scene.GetNodeByID(node_id) is not None else None
