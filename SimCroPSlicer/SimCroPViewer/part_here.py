"""And back from the image: the sentences of report and findings, ranked for a place that was clicked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from SimCroPSlicerLib import views
from SimCroPSlicerLib.candidate import Candidate
from SimCroPSlicerLib.geometry import Point
from SimCroPSlicerLib.rows import here_row
from SimCroPSlicerLib.tasks import Task

from SimCroPViewer.desk import Desk
from SimCroPViewer.tables import as_rows


class HerePart:
    """The section "What is here?".

    Args:
        desk: shared by the parts.
        sources: each gives sentences as they are now.
    """

    def __init__(self, desk: Desk, sources: Sequence[Callable[[], list[Candidate]]]) -> None:
        self._desk = desk
        self._sources = sources
        self._shown: list[Candidate] = []
        self._task: Task | None = None
        self.clear()

    def ask(self, world_ras_mm: Point) -> None:
        """Bring all views to a point of the world, and rank the sentences for it."""
        volume = self._desk.volume
        if volume is None:
            return
        views.jump_to(volume.GetScene(), world_ras_mm)
        candidates = [candidate for source in self._sources for candidate in source()]
        r, a, s = world_ras_mm
        self._desk.state.here_place = f"R, A, S: {r:.0f}, {a:.0f}, {s:.0f} mm"
        if not candidates:
            self._desk.state.here_note = "Paste a report or score the findings: their sentences are ranked here."
            return
        if self._task is not None:
            self._task.cancel()
        asked = [{"text": candidate.text, "heading": candidate.heading} for candidate in candidates]
        work = self._desk.logic.at(volume, world_ras_mm, asked)
        self._task = self._desk.run(
            "Ranking the sentences for this place", work, lambda document: self._answered(document, candidates)
        )

    def select(self, row: int) -> None:
        """Show the heatmap of a ranked sentence; the views stay."""
        if 0 <= row < len(self._shown):
            self._shown[row].show()
            self._desk.chosen("here", row)

    def clear(self) -> None:
        """Another CT was opened."""
        self._shown = []
        note = "Click a place in a slice: the sentences are ranked by how well they fit it."
        self._desk.state.update({"here_rows": [], "here_row": -1, "here_place": "", "here_note": note})

    def _answered(self, document: dict[str, Any], candidates: list[Candidate]) -> None:
        self._task = None
        ranked = document["sentences"]
        self._shown = [candidates[entry["sentence"]] for entry in ranked]
        rows = [here_row(entry, candidate.origin) for entry, candidate in zip(ranked, self._shown, strict=True)]
        self._desk.state.update({"here_rows": as_rows(rows), "here_row": -1, "here_note": _note(document)})


def _note(document: dict[str, Any]) -> str:
    if document["patch_ras_mm"] is None:
        return "The model has seen nothing of the scan here."
    if not document["sentences"]:
        return "None of the sentences is about a place."
    x, y, z = (round(mm) for mm in document["patch_mm"])
    return (
        f"How well each sentence fits the patch of {x} × {y} × {z} mm around this place, compared with the rest of the "
        "scan. It does not say that something is there."
    )
