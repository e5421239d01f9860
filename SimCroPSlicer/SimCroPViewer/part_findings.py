"""The findings that the weights can score, each with the heatmap of its best sentence."""

from __future__ import annotations

from functools import partial
from typing import Any

from SimCroPSlicerLib.candidate import Candidate
from SimCroPSlicerLib.logic import Answer
from SimCroPSlicerLib.rows import finding_row

from SimCroPViewer.desk import CHOOSE_FIRST, Desk
from SimCroPViewer.tables import as_rows


class FindingsPart:
    """The section "Findings".

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._answer: Answer | None = None
        self._nodes: dict[int, Any] = {}
        self.clear()

    def score(self) -> None:
        """Score every finding on the CT."""
        if self._desk.volume is None:
            self._desk.say(CHOOSE_FIRST, "warning")
            return
        volume = self._desk.volume
        self._desk.run("Scoring findings", self._desk.logic.findings(volume), lambda answer: self._show(answer, volume))

    def select(self, row: int, *, jump: bool = True) -> None:
        """Show the heatmap of a finding's best sentence; its node is made when it is first wanted."""
        if self._answer is None or not 0 <= row < len(self._answer.found):
            return
        self._desk.chosen("finding", row)
        if row not in self._nodes:
            self._nodes[row] = self._desk.display.add(self._answer.found[row], self._answer)
        if self._nodes[row] is None:
            self._desk.display.show_nothing()
        else:
            self._desk.display.show(self._nodes[row], jump=jump)

    def candidates(self) -> list[Candidate]:
        """The findings' best sentences, to be ranked for a place."""
        found = [] if self._answer is None else self._answer.found
        return [
            Candidate(str(one.result["sentence"]), "", str(one.result["label"]), partial(self.select, row, jump=False))
            for row, one in enumerate(found)
            if one.result.get("sentence")
        ]

    def clear(self) -> None:
        """Another CT was opened."""
        self._answer, self._nodes = None, {}
        self._desk.state.update({"finding_rows": [], "finding_row": -1})

    def _show(self, answer: Answer, volume: Any) -> None:
        self._desk.checked(volume, answer.passport)
        self._answer, self._nodes = answer, {}
        rows = [finding_row(found.result) for found in answer.found]
        self._desk.state.update({"finding_rows": as_rows(rows), "finding_row": -1})
