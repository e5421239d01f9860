"""What was checked of the CT before it was used, and what came of it (docs/passport.md)."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SimCroPSlicerLib.desk import Desk, fill
from SimCroPSlicerLib.rows import CHECK_COLUMNS, check_row, worst_first

WIDE = 2


class ChecksPart:
    """The Checks section: filled by every answer about the CT that is chosen.

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        desk.checked = self.show
        self.clear()

    def show(self, volume: Any, passport: list[dict[str, Any]]) -> None:
        """The checks of a CT; of one that is not chosen any more, nothing."""
        if volume is self._desk.volume():
            self._fill(passport)

    def clear(self) -> None:
        """Another CT was chosen."""
        self._fill([])

    def _fill(self, passport: list[dict[str, Any]]) -> None:
        rows = [check_row(finding) for finding in worst_first(passport)]
        fill(self._desk.ui.checksTable, CHECK_COLUMNS, rows, WIDE)
        count = sum(row.conflict for row in rows)
        title = _("Checks of the scan ({count} to look at)") if count else _("Checks of the scan")
        self._desk.ui.checksButton.text = title.format(count=count)
