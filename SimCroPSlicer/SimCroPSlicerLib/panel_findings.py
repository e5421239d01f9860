"""The findings that the weights can score, each with the heatmap of its best sentence."""

from __future__ import annotations

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from SimCroPSlicerLib import provenance
from SimCroPSlicerLib.candidate import Candidate
from SimCroPSlicerLib.desk import Desk, fill
from SimCroPSlicerLib.display import restored
from SimCroPSlicerLib.logic import Answer
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
        self._results: list[dict[str, Any]] = []
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
        self._desk.run(
            _("Scoring findings"), self._desk.logic.findings(volume), lambda answer: self._show(answer, volume)
        )

    def candidates(self) -> list[Candidate]:
        """The findings' best sentences, to be ranked for a place."""
        return [
            Candidate(str(result["sentence"]), "", str(result["label"]), partial(self.select, row, jump=False))
            for row, result in enumerate(self._results)
            if result.get("sentence")
        ]

    def select(self, row: int, *, jump: bool = True) -> None:
        """Show the heatmap of a finding's best sentence; its node is made when it is first wanted."""
        if not 0 <= row < len(self._results):
            return
        node = self._nodes.get(row)
        if (node is None or node.GetScene() is None) and self._answer is None:
            self._desk.display.show_nothing()
            self._desk.say(_("Score the findings again to see where this one is."))
            return
        if self._answer is not None and (node is None or node.GetScene() is None):
            node = self._desk.display.add(self._answer.found[row], self._answer)
        if node is None:
            self._desk.display.show_nothing()
            return
        self._nodes[row] = node
        self._desk.display.show(node, jump=jump)

    def restore(self, volume: Any) -> None:
        """Show the scores that the scene holds for a volume; heatmaps are there for those that were looked at."""
        self._answer, self._results, self._nodes = None, [], {}
        if volume is not None:
            found = [(result, node) for result, node in restored(volume.GetScene(), volume) if "label" in result]
            rows = provenance.kept_rows(volume, "findings")
            nodes = provenance.with_nodes(rows, found)[: len(rows)]
            self._results, self._nodes = rows, {row: node for row, (_result, node) in enumerate(nodes)}
        self._fill()

    def _show(self, answer: Answer, volume: Any) -> None:
        self._desk.checked(volume, answer.passport)
        self._answer, self._nodes = answer, {}
        self._results = [found.result for found in answer.found]
        if volume.GetScene() is not None:
            provenance.keep_rows(volume, "findings", self._results)
        self._fill()

    def _fill(self) -> None:
        fill(self._desk.ui.findingsTable, FINDING_COLUMNS, [finding_row(result) for result in self._results], WIDE)
