"""What of the report is about this place: its sentences ranked for the crosshair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from SimCroPSlicerLib import views
from SimCroPSlicerLib.candidate import Candidate
from SimCroPSlicerLib.desk import Desk, fill
from SimCroPSlicerLib.geometry import Point
from SimCroPSlicerLib.rows import HERE_COLUMNS, here_row
from SimCroPSlicerLib.tasks import Task

PAUSE_MS = 250
WIDE = 0


class HerePart:
    """The section "What is here?".

    Args:
        desk: shared by the parts.
        candidates: each gives sentences as they are now.
    """

    def __init__(self, desk: Desk, candidates: Sequence[Callable[[], list[Candidate]]]) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._sources = candidates
        self._shown: list[Candidate] = []
        self._task: Task | None = None
        self._asked_at: Point | None = None
        self._crosshair: Any = None
        self._observation: int | None = None
        self._pause = qt.QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.connect("timeout()", self._follow)
        self._ui.askHereButton.connect("clicked(bool)", lambda *_: self.ask())
        self._ui.followCrosshairCheckBox.connect("toggled(bool)", lambda on: self.follow(on))
        self._ui.hereTable.connect("currentCellChanged(int,int,int,int)", lambda row, *_: self.select(row))
        self.clear()

    def ask(self, world_ras_mm: Point | None = None) -> None:
        """Rank the sentences for a point of the world; for the crosshair where none is given."""
        volume = self._desk.volume()
        if volume is None:
            self._desk.say(_("Choose a CT volume first."), amber=True)
            return
        point = world_ras_mm or views.crosshair_point(volume.GetScene())
        candidates = [candidate for source in self._sources for candidate in source()]
        if not candidates or point is None:
            self._desk.say(_("Paste a report or score the findings first: their sentences are ranked."), amber=True)
            return
        if self._task is not None:
            self._task.cancel()
        self._asked_at = point
        self._ui.hereButton.collapsed = False
        asked = [{"text": candidate.text, "heading": candidate.heading} for candidate in candidates]
        self._task = self._desk.run(
            _("Ranking the sentences for this place"),
            self._desk.logic.at(volume, point, asked),
            lambda document: self._answered(document, candidates),
            quiet=bool(self._ui.followCrosshairCheckBox.checked),
        )

    def select(self, row: int) -> None:
        """Show the heatmap of a ranked sentence; the views stay."""
        if 0 <= row < len(self._shown):
            self._shown[row].show()

    def follow(self, on: bool) -> None:
        """Ask again whenever the crosshair has moved, or no more."""
        self._pause.stop()
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._observation)
            self._crosshair = None
        volume = self._desk.volume()
        crosshair = None if volume is None else views.crosshair_of(volume.GetScene())
        if on and crosshair is not None:
            self._crosshair = crosshair
            self._observation = crosshair.AddObserver("ModifiedEvent", lambda *_: self._pause.start())
            self.ask()

    def stop(self) -> None:
        """The panel is left."""
        self._ui.followCrosshairCheckBox.checked = False

    def clear(self) -> None:
        """Another CT was chosen."""
        self._shown, self._asked_at = [], None
        self._ui.hereLabel.text = ""
        fill(self._ui.hereTable, HERE_COLUMNS, [], WIDE)

    def _follow(self) -> None:
        volume = self._desk.volume()
        if volume is not None and views.crosshair_point(volume.GetScene()) != self._asked_at:
            self.ask()

    def _answered(self, document: dict[str, Any], candidates: list[Candidate]) -> None:
        self._task = None
        ranked = document["sentences"]
        self._shown = [candidates[entry["sentence"]] for entry in ranked]
        rows = [here_row(entry, candidate.origin) for entry, candidate in zip(ranked, self._shown, strict=True)]
        fill(self._ui.hereTable, HERE_COLUMNS, rows, WIDE)
        if document["patch_ras_mm"] is None:
            self._ui.hereLabel.text = _("The model has seen nothing of the scan here.")
        elif not ranked:
            self._ui.hereLabel.text = _("None of the sentences is about a place.")
        else:
            x, y, z = document["patch_mm"]
            self._ui.hereLabel.text = _(
                "How well each sentence fits the patch of {x} × {y} × {z} mm around the crosshair, compared with the "
                "rest of the scan. It does not say that something is there."
            ).format(x=round(x), y=round(y), z=round(z))
