"""The findings that the weights can score, each with the heatmap of its best sentence."""

from __future__ import annotations

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from SimCroPSlicerLib.desk import Desk, fill
from SimCroPSlicerLib.logic import Answer
from SimCroPSlicerLib.panel_here import Candidate
from SimCroPSlicerLib.rows import FINDING_COLUMNS, finding_row

WIDE = 3


class FindingsPart:
    """The Findings section.

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._answer: Answer | None = None
        self._nodes: dict[int, Any] = {}
        desk.ui.scoreFindingsButton.connect("clicked(bool)", lambda *_: self.score())
        desk.ui.findingsTable.connect("currentCellChanged(int,int,int,int)", lambda row, *_: self.select(row))
        fill(desk.ui.findingsTable, FINDING_COLUMNS, [], WIDE)

    def score(self) -> None:
        """Score every finding on the CT."""
        volume = self._desk.volume()
        if volume is None:
            self._desk.say(_("Choose a CT volume first."), amber=True)
            return
        self._desk.display.set_source(volume)
        self._desk.run(_("Scoring findings"), self._desk.logic.findings(volume), self._show)

    def candidates(self) -> list[Candidate]:
        """The findings' best sentences, to be ranked for a place."""
        found = () if self._answer is None else self._answer.found
        return [
            Candidate(str(one.result["sentence"]), "", str(one.result["label"]), partial(self.select, row, jump=False))
            for row, one in enumerate(found)
            if one.result.get("sentence")
        ]

    def select(self, row: int, *, jump: bool = True) -> None:
        """Show the heatmap of a finding's best sentence; its node is made when it is first wanted."""
        if self._answer is None or not 0 <= row < len(self._answer.found):
            return
        node = self._nodes.get(row)
        if node is None or node.GetScene() is None:
            node = self._desk.display.add(self._answer.found[row], self._answer)
        if node is None:
            self._desk.display.show_nothing()
            return
        self._nodes[row] = node
        self._desk.display.show(node, jump=jump)

    def clear(self) -> None:
        """Another CT was chosen."""
        self._answer, self._nodes = None, {}
        fill(self._desk.ui.findingsTable, FINDING_COLUMNS, [], WIDE)

    def _show(self, answer: Answer) -> None:
        self._answer, self._nodes = answer, {}
        rows = [finding_row(found.result) for found in answer.found]
        fill(self._desk.ui.findingsTable, FINDING_COLUMNS, rows, WIDE)
