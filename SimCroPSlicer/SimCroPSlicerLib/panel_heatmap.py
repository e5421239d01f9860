"""How the heat is drawn, and moving among its peaks."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from SimCroPSlicerLib.desk import Desk
from SimCroPSlicerLib.display import Options
from SimCroPSlicerLib.segments import ATTENTION_NAME


class HoldKey(qt.QObject):  # type: ignore[misc]
    """Sees F9 go down and up anywhere in the panel.

    Args:
        parent: the panel.
        hold: called with whether it is held.
    """

    def __init__(self, parent: Any, hold: Any) -> None:
        qt.QObject.__init__(self, parent)
        self._hold = hold

    def eventFilter(self, _watched: Any, event: Any) -> bool:
        """Qt's hook: never swallows an event but the key's own."""
        if event.type() not in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease) or event.key() != qt.Qt.Key_F9:
            return False
        if not event.isAutoRepeat():
            self._hold(event.type() == qt.QEvent.KeyPress)
        return True


class HeatmapPart:
    """The Heatmap section.

    Args:
        desk: shared by the parts.
        panel: the widget within which the key counts.
    """

    def __init__(self, desk: Desk, panel: Any) -> None:
        self._desk = desk
        ui, display = desk.ui, desk.display
        ui.hideButton.connect("pressed()", lambda: display.hold(True))
        ui.hideButton.connect("released()", lambda: display.hold(False))
        ui.previousPeakButton.connect("clicked(bool)", lambda *_: self._step(-1))
        ui.nextPeakButton.connect("clicked(bool)", lambda *_: self._step(1))
        ui.keepOutlineButton.connect("clicked(bool)", lambda *_: display.keep_outline())
        ui.clearOutlinesButton.connect("clicked(bool)", lambda *_: display.clear_outlines())
        ui.toSegmentButton.connect("clicked(bool)", lambda *_: self._to_segment())
        self._key = HoldKey(panel, display.hold)
        panel.installEventFilter(self._key)

    def update(self, parameters: Any) -> None:
        """Draw by the parameters as they are now."""
        options = Options(parameters.opacity, parameters.threshold, parameters.outlineOnly, parameters.showPeakBox)
        if options != self._desk.display.options:
            self._desk.display.options = options
            self._desk.display.refresh()

    def _step(self, by: int) -> None:
        place = self._desk.display.step_peak(by)
        if place is None:
            self._desk.say(_("This heatmap has no peak that is drawn."))

    def _to_segment(self) -> None:
        if self._desk.display.to_segment() is not None:
            self._desk.say(_("Added as a segment: {name}.").format(name=ATTENTION_NAME))
