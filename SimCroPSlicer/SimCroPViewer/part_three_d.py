"""What the 3D view shows beside segments: the slices where they are, and on request the scan as a rendered volume."""

from __future__ import annotations

from typing import Any

from SimCroPViewer.desk import Desk
from SimCroPViewer.stage import Stage

PRESET = "CT-Lung"


class ThreeDPart:
    """The two buttons over the 3D view.

    Args:
        desk: shared by the parts.
        stage: the views.
    """

    def __init__(self, desk: Desk, stage: Stage) -> None:
        self._desk = desk
        self._stage = stage
        # In software one picture takes seconds, during which the page would wait.
        desk.state.update({"volume_rendering": stage.has_graphics_card, "slices_in_3d": True})
        desk.state.change("volume_rendering")(self._render_volume)
        desk.state.change("slices_in_3d")(self._show_slices)

    def clear(self) -> None:
        """Another CT was opened."""
        self._show_slices(self._desk.state.slices_in_3d)
        self._render_volume(self._desk.state.volume_rendering)

    def _render_volume(self, volume_rendering: bool, **_: Any) -> None:
        volume, rendering = self._desk.volume, self._stage.app.volume_rendering
        if volume is None:
            return
        if volume_rendering:
            rendering.create_display_node(volume, PRESET)
        display = rendering.get_vr_display_node(volume)
        if display is not None:
            display.SetVisibility(bool(volume_rendering))

    def _show_slices(self, slices_in_3d: bool, **_: Any) -> None:
        for view in self._stage.slice_views:
            view.set_visible_in_3d(bool(slices_in_3d))
