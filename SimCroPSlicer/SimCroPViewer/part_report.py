"""The report: pasted or uploaded, split into sentences at once, each looked for in the background."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from SimCroPSlicerLib import provenance
from SimCroPSlicerLib.candidate import Candidate
from SimCroPSlicerLib.hierarchy import remove
from SimCroPSlicerLib.logic import Answer
from SimCroPSlicerLib.rows import pending_row, sentence_row
from SimCroPSlicerLib.tasks import Task, Work

from SimCroPViewer.desk import Desk, after_pause
from SimCroPViewer.tables import as_rows

PAUSE_S = 0.4
_ORIGIN: Final = "report"


class ReportPart:
    """The section "Report".

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._nodes: list[Any] = []
        self._statements: list[dict[str, Any]] = []
        self._task: Task | None = None
        self._asked = ("", "")
        self.results: list[dict[str, Any]] = []
        desk.state.update({"report_text": "", "report_rows": [], "report_row": -1, "report_note": ""})
        self._later = after_pause(PAUSE_S, self.look)
        desk.state.change("report_text")(self._typed)

    @property
    def text(self) -> str:
        """The report as it stands."""
        return (self._desk.state.report_text or "").strip()

    def take(self, text: str) -> None:
        """A report out of a file."""
        self._desk.state.report_text = text
        self.look()

    def look(self) -> None:
        """Split the report, and look for its sentences where a CT is open; once for each text and CT."""
        volume = self._desk.volume
        asked = (self.text, "" if volume is None else str(volume.GetID()))
        if asked == self._asked:
            return
        self._asked = asked
        if self._task is not None:
            self._task.cancel()
        if not self.text:
            self._forget()
            return
        work = self._work(self.text, volume)
        self._task = self._desk.run("Looking for the report's sentences", work, self._done, failed=self._failed)

    def select(self, row: int, *, jump: bool = True) -> None:
        """Show a sentence's heatmap and go to its peak."""
        if not 0 <= row < len(self._nodes):
            return
        self._desk.chosen("report", row)
        if self._nodes[row] is not None and self._nodes[row].GetScene() is not None:
            self._desk.display.show(self._nodes[row], jump=jump)
        else:
            self._desk.display.show_nothing()

    def step(self, by: int) -> None:
        """The next or previous sentence; at the ends it stays."""
        if self._nodes:
            row = self._desk.state.report_row
            self.select(0 if row < 0 else min(max(row + by, 0), len(self._nodes) - 1))

    def candidates(self) -> list[Candidate]:
        """The report's sentences, to be ranked for a place."""
        return [
            Candidate(said["text"], said.get("heading") or "", "report", partial(self.select, row, jump=False))
            for row, said in enumerate(self._statements)
        ]

    def clear(self) -> None:
        """Another CT was opened: its report is not this one."""
        self._desk.state.report_text = ""
        self._asked = ("", "")
        self._forget()

    def _typed(self, **_: Any) -> None:
        self._later()

    def _work(self, text: str, volume: Any) -> Work:
        logic = self._desk.logic
        statements = yield from logic.parsed(text)
        self._show_statements(statements)
        if volume is None or not statements:
            return
        answer: Answer = yield from logic.grounded(volume, report=text)
        self._desk.checked(volume, answer.passport)
        self._show_answer(answer)
        self._desk.display.set_source(volume)
        yield from self._add_heatmaps(answer)
        provenance.keep_rows(volume, _ORIGIN, self.results)

    def _add_heatmaps(self, answer: Answer) -> Iterator[None]:
        for number, found in enumerate(answer.found):
            yield None
            self._nodes[number] = self._desk.display.add(found, answer, origin=_ORIGIN)
            chosen = self._desk.state.report_row
            if number == chosen or (chosen < 0 and self._nodes[number] is not None):
                self.select(number)

    def _show_statements(self, statements: list[dict[str, Any]]) -> None:
        self._forget()
        self._statements = statements
        self._nodes = [None] * len(statements)
        self._desk.state.report_rows = as_rows([pending_row(statement) for statement in statements])

    def _show_answer(self, answer: Answer) -> None:
        self.results = [found.result for found in answer.found]
        self._nodes = [None] * len(self.results)
        self._desk.state.report_rows = as_rows([sentence_row(result) for result in self.results])
        conflicts = sum(bool(result.get("side_conflict")) for result in self.results)
        notes = [f"{conflicts} sentence(s) whose side and place disagree."] if conflicts else []
        self._desk.state.report_note = " ".join([*notes, *answer.warnings])

    def _forget(self) -> None:
        for node in self._nodes:
            if node is not None and node.GetScene() is not None:
                remove(node)
        self._nodes, self._statements, self.results = [], [], []
        self._desk.state.update({"report_rows": [], "report_row": -1, "report_note": ""})

    def _done(self, _result: None) -> None:
        self._task = None

    def _failed(self, _fault: Any) -> None:
        # The same text may be asked again.
        self._asked = ("", "")
