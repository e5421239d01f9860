"""What the parts of the panel share: the widgets, the engine, the views, and one way to run work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import qt
from slicer.i18n import tr as _

from simcrop_core.errors import SimCroPError
from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.logic import EngineLogic
from SimCroPSlicerLib.rows import Row
from SimCroPSlicerLib.shown_work import ShownWork

AMBER = "#b26a00"
FIRST_COLUMN = 210


class Desk(ShownWork):
    """The panel's parts work on this.

    Args:
        ui: the widgets by name.
        logic: asks the engine.
        display: what is in view.
        volume: the CT that is chosen, or None.

    Attributes:
        text_changed: called when words of a report have come into the scene or gone out of it.
        checked: called with a volume and the checks that an answer about it brought.
    """

    def __init__(self, ui: Any, logic: EngineLogic, display: HeatmapDisplay, volume: Callable[[], Any]) -> None:
        super().__init__(logic)
        self.ui = ui
        self.display = display
        self.volume = volume
        self.text_changed: Callable[[], None] = lambda: None
        self.checked: Callable[[Any, list[dict[str, Any]]], None] = lambda *_: None
        ui.workWidget.visible = False
        ui.cancelButton.connect("clicked(bool)", lambda *_: self.cancel())

    def cancel(self) -> None:
        """Stop what is under way."""
        self.ui.progressLabel.text = _("Stopping…")
        self.logic.scheduler.cancel_all()

    def say(self, text: str, *, amber: bool = False) -> None:
        """A message on top of the panel; "" takes it away."""
        self.ui.messageLabel.text = text
        self.ui.messageLabel.visible = bool(text)
        self.ui.messageLabel.styleSheet = f"color: {AMBER}" if amber else ""

    def busy(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show that something is under way."""
        self.ui.progressLabel.text = text
        self.ui.progressBar.setRange(0, total)
        self.ui.progressBar.value = done
        self.ui.workWidget.visible = True

    def idle(self) -> None:
        """Nothing is under way that is shown."""
        self.ui.workWidget.visible = False

    def fault(self, fault: SimCroPError) -> None:
        """Say what went wrong and what to do about it."""
        self.say(f"{fault.message} {fault.hint} ({fault.code})", amber=True)


def fill(table: Any, columns: tuple[str, ...], rows: list[Row], wide: int | None = None) -> None:
    """Write rows into a QTableWidget at once (`filling`)."""
    for _step in filling(table, columns, rows, wide):
        pass


def filling(table: Any, columns: tuple[str, ...], rows: list[Row], wide: int | None = None) -> Iterator[None]:
    """Write rows into a QTableWidget, a row a step; amber where a side conflicts.

    Args:
        table: to fill.
        columns: their titles.
        rows: as many cells each.
        wide: which column takes the room that is left; with None the first has a fixed width, the rest is scrolled.
    """
    blocked = table.blockSignals(True)
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    header = table.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    if wide is not None:
        header.setSectionResizeMode(wide, qt.QHeaderView.Stretch)
    else:
        header.setSectionResizeMode(0, qt.QHeaderView.Interactive)
        table.setColumnWidth(0, FIRST_COLUMN)
    table.verticalHeader().setVisible(False)
    table.setRowCount(len(rows))
    table.blockSignals(blocked)
    for number, row in enumerate(rows):
        set_row(table, number, row)
        yield None


def set_row(table: Any, number: int, row: Row) -> None:
    """Write one row."""
    for column, text in enumerate(row.cells):
        item = qt.QTableWidgetItem(text)
        item.setToolTip(row.tip or text)
        if row.conflict:
            item.setForeground(qt.QBrush(qt.QColor(AMBER)))
        table.setItem(number, column, item)
