"""The report: pasted or loaded, split into sentences at once, each looked for in the background."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import qt
from slicer.i18n import tr as _

from simcrop_core.errors import SimCroPError
from SimCroPSlicerLib import provenance
from SimCroPSlicerLib.candidate import Candidate
from SimCroPSlicerLib.desk import Desk, fill, filling, set_row
from SimCroPSlicerLib.display import restored
from SimCroPSlicerLib.hierarchy import remove
from SimCroPSlicerLib.logic import Answer
from SimCroPSlicerLib.panel_images import ReportImages
from SimCroPSlicerLib.report_file import report_text
from SimCroPSlicerLib.rows import SENTENCE_COLUMNS, pending_row, sentence_row
from SimCroPSlicerLib.tasks import Task, Work

PAUSE_MS = 400
_ORIGIN: Final = "report"


class ReportPart:
    """The Report section.

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._nodes: list[Any] = []
        self._statements: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []
        self.images = ReportImages(desk)
        self._task: Task | None = None
        # The CT that the report was pasted for ("" where none was chosen yet), and whether it was looked for there.
        self._asked, self._answered = "", False
        self._pause = qt.QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.connect("timeout()", self.look)
        self._ui.reportTextEdit.connect("textChanged()", self._changed)
        self._ui.loadReportButton.connect("clicked(bool)", lambda *_: self._choose_file())
        self._ui.clearReportButton.connect("clicked(bool)", lambda *_: self._ui.reportTextEdit.clear())
        self._ui.reportTable.connect("currentCellChanged(int,int,int,int)", lambda row, *_: self.select(row))
        self._ui.goToImageButton.connect("clicked(bool)", lambda *_: self.go_to_image())
        fill(self._ui.reportTable, SENTENCE_COLUMNS, [])

    def load(self, path: Path) -> None:
        """Read a report from a file into the panel."""
        try:
            self._ui.reportTextEdit.setPlainText(report_text(path))
        except SimCroPError as fault:
            self._desk.say(f"{fault.message} {fault.hint}", amber=True)

    def look(self) -> None:
        """Split the report, and look for its sentences where a CT is chosen."""
        self._pause.stop()
        if self._task is not None:
            self._task.cancel()
        text = self._ui.reportTextEdit.plainText.strip()
        if not text:
            self._statements, self._results = [], []
            self._show_rows([])
            self._keep_rows(self._desk.volume())
            return
        volume = self._desk.volume()
        self._asked, self._answered = _id_of(volume), False
        self._task = self._desk.run(_("Looking for the report's sentences"), self._work(text, volume), self._done)

    def _work(self, text: str, volume: Any) -> Work:
        logic = self._desk.logic
        statements = yield from logic.parsed(text)
        yield from self._show_statements(statements)
        self._keep_rows(volume)
        if volume is None or not statements:
            return
        answer = yield from logic.grounded(volume, report=text)
        self._desk.checked(volume, answer.passport)
        yield from self._show_answer(answer)
        self._desk.display.set_source(volume)
        for number, found in enumerate(answer.found):
            # One node a turn: each costs Slicer's own observers a few milliseconds.
            yield None
            self._nodes[number] = self._desk.display.add(found, answer, origin=_ORIGIN)
            if number == self._ui.reportTable.currentRow():
                self.select(number)
        yield None
        self._keep_rows(volume)
        self._answered = True
        self._choose_first()

    def _keep_rows(self, volume: Any) -> None:
        if volume is not None and volume.GetScene() is not None:
            provenance.keep_rows(volume, _ORIGIN, self._results)

    def select(self, row: int, *, jump: bool = True) -> None:
        """Show a sentence's heatmap and go to its peak, or to the image that it names where that is known."""
        if not 0 <= row < len(self._nodes):
            return
        if self._nodes[row] is not None and self._nodes[row].GetScene() is not None:
            self._desk.display.show(self._nodes[row], jump=jump)
        else:
            self._desk.display.show_nothing()
        if jump:
            self.images.go_to(self._reference(row), self._peak(row), wanted=False)

    def go_to_image(self) -> None:
        """Show the image that the chosen sentence names, or say why that cannot be."""
        row = int(self._ui.reportTable.currentRow())
        reference = self._reference(row)
        if reference is None:
            self._desk.say(_("Choose a sentence that names an image."))
        else:
            self.images.go_to(reference, self._peak(row), wanted=True)

    def candidates(self) -> list[Candidate]:
        """The report's sentences, to be ranked for a place."""
        return [
            Candidate(
                statement["text"],
                statement.get("heading") or "",
                _("report"),
                partial(self.select, row, jump=False),
            )
            for row, statement in enumerate(self._statements)
        ]

    def _reference(self, row: int) -> dict[str, Any] | None:
        return self._statements[row].get("reference") if 0 <= row < len(self._statements) else None

    def _peak(self, row: int) -> Any:
        return self._results[row].get("peak_ras_mm") if 0 <= row < len(self._results) else None

    def restore(self, volume: Any) -> None:
        """Rebuild the table from the results that the scene holds for a volume.

        Those of the CT before stay in the scene. A report that was pasted before a CT was chosen is looked for now, and
        one whose search was left in the middle in its own CT alone: another one may be another patient's.
        """
        self._pause.stop()
        if self._task is not None and not self._task.finished:
            self._task.cancel()
            self._remove_nodes()
        self._nodes = []
        sentences: list[tuple[dict[str, Any], Any]] = []
        if volume is not None:
            found = [(result, node) for result, node in restored(volume.GetScene(), volume) if "text" in result]
            sentences = provenance.with_nodes(provenance.kept_rows(volume, _ORIGIN), found)
        self._results = [result for result, _node in sentences]
        self._statements = list(self._results)
        self._show_rows([sentence_row(result) for result in self._results])
        self._nodes = [node for _result, node in sentences]
        self._desk.text_changed()
        if volume is None or not self._ui.reportTextEdit.plainText.strip():
            return
        if self._asked not in ("", volume.GetID()):
            self._ui.reportNoteLabel.text = _(
                "The report above was pasted for another CT. Paste it again to look here."
            )
        elif not self._answered:
            self._pause.start()

    def forget(self) -> None:
        """The scene is closed: the next one may be another patient's."""
        self._ui.reportTextEdit.clear()
        self._pause.stop()
        self.restore(None)

    def _changed(self) -> None:
        self._asked, self._answered = _id_of(self._desk.volume()), False
        self._pause.start()

    def _show_statements(self, statements: list[dict[str, Any]]) -> Iterator[None]:
        self._remove_nodes()
        self._statements, self._results = statements, []
        self._nodes = [None] * len(statements)
        yield from filling(self._ui.reportTable, SENTENCE_COLUMNS, [pending_row(statement) for statement in statements])

    def _show_answer(self, answer: Answer) -> Iterator[None]:
        self._results = [found.result for found in answer.found]
        self._nodes = [None] * len(self._results)
        if self._ui.reportTable.rowCount != len(self._results):
            fill(self._ui.reportTable, SENTENCE_COLUMNS, [])
            self._ui.reportTable.setRowCount(len(self._results))
        for number, result in enumerate(self._results):
            set_row(self._ui.reportTable, number, sentence_row(result))
            yield None
        self._note(answer)

    def _note(self, answer: Answer) -> None:
        conflicts = sum(bool(result.get("side_conflict")) for result in self._results)
        notes = list(answer.warnings)
        if conflicts:
            notes.insert(0, _("{count} sentence(s) whose side and place disagree.").format(count=conflicts))
        self._ui.reportNoteLabel.text = " ".join(notes)

    def _show_rows(self, rows: list[Any]) -> None:
        self._remove_nodes()
        fill(self._ui.reportTable, SENTENCE_COLUMNS, rows)
        self._ui.reportNoteLabel.text = ""

    def _remove_nodes(self) -> None:
        """An edited report's earlier heatmaps go; those of other volumes and of questions stay."""
        for node in self._nodes:
            if node is not None and node.GetScene() is not None and provenance.fact(node, "origin") == _ORIGIN:
                remove(node)
        self._nodes = []

    def _choose_first(self) -> None:
        """Show the first sentence that has a place, unless the user has chosen one."""
        first = next((i for i, node in enumerate(self._nodes) if node is not None), None)
        if first is not None and self._ui.reportTable.currentRow() < 0:
            self._ui.reportTable.setCurrentCell(first, 0)

    def _done(self, _result: None) -> None:
        self._task = None
        self._desk.text_changed()

    def _choose_file(self) -> None:
        kinds = _("Reports") + " (*.txt *.json *.dcm *.sr);;" + _("All files") + " (*)"
        chosen = qt.QFileDialog.getOpenFileName(self._ui.reportTextEdit, _("Load a report"), "", kinds)
        path = chosen[0] if isinstance(chosen, tuple) else chosen
        if path:
            self.load(Path(str(path)))


def _id_of(volume: Any) -> str:
    return "" if volume is None else str(volume.GetID())
