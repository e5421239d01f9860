"""Slicer's scene, logics and views for one session, and the layouts that they are shown in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from SimCroPSlicerLib import views
from SimCroPSlicerLib.geometry import Point
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition

from SimCroPViewer.desk import after_pause
from SimCroPViewer.page_views import slice_controls, three_d_controls

FOUR_UP = "Four-up"
LAYOUTS = (FOUR_UP, "Axial", "Coronal", "Sagittal", "3D")
# Pixels that the mouse may move in a click.
_CLICK = 4.0
# On a processor without a graphics card a picture takes longer than this allows: it then paces itself.
_FPS = 30.0
_BACKGROUND_FPS = 15.0
_IN_SOFTWARE = ("llvmpipe", "softpipe", "swiftshader", "software rasterizer")
# After the last change of size.
_SETTLED_S = 0.25


class Stage:
    """A scene with four views.

    Args:
        server: trame's.
        clicked: called with the world point (RAS, mm) of a click in a slice.
    """

    def __init__(self, server: Any, clicked: Callable[[Point], None]) -> None:
        self.app = SlicerApp()
        self.scene = self.app.scene
        slicer.mrmlScene = self.scene
        self._clicked = clicked
        self._pressed: dict[int, tuple[int, int]] = {}
        self._last: Any = None
        manager = self.app.view_manager
        register_rca_factories(
            manager,
            server,
            slice_view_ui_f=slice_controls,
            three_d_view_ui_f=three_d_controls,
            rca_encoder="jpeg",
            target_fps=_FPS,
            blur_fps=_BACKGROUND_FPS,
            interactive_quality=75,
        )
        self.layouts = LayoutManager(self.scene, manager, server)
        self.layouts.register_layout_dict(_layouts())
        self.layouts.set_layout(FOUR_UP)
        for view in manager.get_threed_views():
            # Several samples a pixel together with depth peeling draw nothing on Mesa's software renderer.
            view.render_window().SetMultiSamples(0)
            view.renderer().SetUseDepthPeelingForVolumes(False)
        self._fit_later = after_pause(_SETTLED_S, self.fit)
        for view in manager.get_slice_views():
            self._watch_clicks(view)
            view.interactor().AddObserver("WindowResizeEvent", lambda *_: self._fit_later())
        # The views draw anew for what is displayed in them; the overlay's opacity is none of it.
        for composite in views.composites(self.scene):
            composite.AddObserver("ModifiedEvent", lambda *_: self.render())

    @property
    def slice_views(self) -> list[Any]:
        """Axial, coronal, sagittal."""
        by_tag = {view.get_singleton_tag(): view for view in self.app.view_manager.get_slice_views()}
        return [by_tag[tag] for tag in ("Red", "Green", "Yellow")]

    @property
    def three_d(self) -> Any:
        """The 3D view."""
        return self.app.view_manager.get_threed_views()[0]

    @property
    def has_graphics_card(self) -> bool:
        """Whether a graphics card draws, and not the processor."""
        capabilities = str(self.three_d.render_window().ReportCapabilities()).lower()
        return not any(name in capabilities for name in _IN_SOFTWARE)

    def shown(self) -> list[list[Any]]:
        """The views of the layout in use, row by row."""
        axial, coronal, sagittal = self.slice_views
        alone = dict(zip(LAYOUTS[1:], (axial, coronal, sagittal, self.three_d), strict=True))
        layout = self.layouts.layout_id
        return [[alone[layout]]] if layout in alone else [[axial, self.three_d], [coronal, sagittal]]

    def step_slice(self, by: int) -> None:
        """Go on by some slices in the view that was clicked last; in the axial one at first."""
        view = self._last or self.slice_views[0]
        low, high = view.get_slice_range()
        view.set_slice_value(min(max(view.get_slice_value() + by * view.get_slice_step(), low), high))

    def fit(self) -> None:
        """Fit the slices to their windows; each stays the slice that it is."""
        for view in self.slice_views:
            offset = view.get_slice_value()
            view.fit_view_to_content()
            view.set_slice_value(offset)

    def reset(self) -> None:
        """Fit every view to what the scene holds now."""
        for view in self.app.view_manager.get_views():
            view.reset_view()

    def render(self) -> None:
        """Draw every view anew, as soon as there is time."""
        for view in self.app.view_manager.get_views():
            view.schedule_render()

    def _watch_clicks(self, view: Any) -> None:
        interactor = view.interactor()
        key = id(view)

        def pressed(*_: Any) -> None:
            self._pressed[key] = interactor.GetEventPosition()
            self._last = view

        def released(*_: Any) -> None:
            x, y = interactor.GetEventPosition()
            was = self._pressed.pop(key, None)
            if was is not None and abs(x - was[0]) + abs(y - was[1]) <= _CLICK:
                r, a, s, _ = view.get_view_node().GetXYToRAS().MultiplyPoint((x, y, 0, 1))
                self._clicked((r, a, s))

        # Before the views' own styles, which swallow what they use.
        interactor.AddObserver("LeftButtonPressEvent", pressed, 1000.0)
        interactor.AddObserver("LeftButtonReleaseEvent", released, 1000.0)


def _layouts() -> dict[str, Layout]:
    axial, coronal = ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.coronal_view()
    sagittal, three_d = ViewLayoutDefinition.sagittal_view(), ViewLayoutDefinition.threed_view()
    across, down = LayoutDirection.Horizontal, LayoutDirection.Vertical
    four = Layout(down, [Layout(across, [axial, three_d]), Layout(across, [coronal, sagittal])])
    alone = (axial, coronal, sagittal, three_d)
    return {FOUR_UP: four, **{name: Layout(down, [view]) for name, view in zip(LAYOUTS[1:], alone, strict=True)}}
