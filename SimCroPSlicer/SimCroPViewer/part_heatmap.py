"""How the heat is drawn, and moving among its peaks."""

from __future__ import annotations

from typing import Any

from SimCroPSlicerLib.display import Options

from SimCroPViewer.desk import Desk


class HeatmapPart:
    """The section "Heatmap".

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        drawn = desk.display.options
        desk.state.update({"opacity": drawn.opacity, "threshold": 0.0, "outline_only": False, "peak_box": True})
        desk.state.update({"heat_hidden": False, "ramp": drawn.ramp})
        desk.state.change("opacity", "threshold", "outline_only", "peak_box", "ramp")(self._drawn)
        desk.state.change("heat_hidden")(self._hidden)

    def step_peak(self, by: int) -> None:
        """Go to the next or previous local maximum."""
        if self._desk.display.step_peak(by) is None:
            self._desk.say("This heatmap has no peak that is drawn.")

    def keep_outline(self) -> None:
        """Keep the sentence as a contour in a colour of its own."""
        self._desk.display.keep_outline()

    def clear_outlines(self) -> None:
        """Remove every kept contour."""
        self._desk.display.clear_outlines()

    def _drawn(self, opacity: float, threshold: float, outline_only: bool, peak_box: bool, ramp: str, **_: Any) -> None:
        options = Options(float(opacity), float(threshold), bool(outline_only), bool(peak_box), ramp)
        if options != self._desk.display.options:
            self._desk.display.options = options
            self._desk.display.refresh()
            if self._desk.state.heat_hidden:
                self._desk.display.hold(True)

    def _hidden(self, heat_hidden: bool, **_: Any) -> None:
        if self._desk.display.current is not None:
            self._desk.display.hold(bool(heat_hidden))
