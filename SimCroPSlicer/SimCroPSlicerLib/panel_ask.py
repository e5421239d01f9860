"""A typed sentence: answered while it is typed, kept when Enter is pressed."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from SimCroPSlicerLib import provenance
from SimCroPSlicerLib.desk import Desk
from SimCroPSlicerLib.logic import Answer
from SimCroPSlicerLib.rows import sentence_row
from SimCroPSlicerLib.tasks import Task

PAUSE_MS = 250
HISTORY = 30


class AskPart:
    """The Ask section.

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._task: Task | None = None
        self._pause = qt.QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.connect("timeout()", lambda: self._ask(provisional=True))
        self._ui.askLineEdit.connect("textEdited(QString)", lambda *_: self._pause.start())
        self._ui.askLineEdit.connect("returnPressed()", self.ask)
        self._ui.historyComboBox.connect("activated(int)", lambda index: self._again(index))
        self._ui.forgetTextButton.connect("clicked(bool)", lambda *_: self._forget())
        self.update_note()

    def ask(self) -> None:
        """Look for the sentence and keep its heatmap."""
        self._pause.stop()
        self._ask(provisional=False)

    def update_note(self) -> None:
        """Warn while saving the scene would save words of a report."""
        volume = self._desk.volume()
        held = volume is not None and provenance.holds_text(volume.GetScene())
        self._ui.textNoteLabel.text = _("Saving the scene would save words of the report with it.") if held else ""
        self._ui.textNoteLabel.visible = held
        self._ui.forgetTextButton.visible = held

    def _ask(self, *, provisional: bool) -> None:
        sentence = self._ui.askLineEdit.text.strip()
        volume = self._desk.volume()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if not sentence:
            return
        if volume is None:
            self._desk.say(_("Choose a CT volume first."), amber=True)
            return
        self._desk.display.set_source(volume)
        self._task = self._desk.run(
            _("Looking for the sentence"),
            self._desk.logic.grounded(volume, sentences=[sentence]),
            lambda answer: self._answered(answer, sentence, volume, provisional=provisional),
            quiet=provisional,
        )

    def _answered(self, answer: Answer, sentence: str, volume: Any, *, provisional: bool) -> None:
        self._task = None
        self._desk.checked(volume, answer.passport)
        found = answer.found[0]
        row = sentence_row(found.result)
        words = [part for part in (*row.cells[2:4], row.cells[1]) if part]
        self._ui.answerLabel.text = " · ".join([*words, *answer.warnings])
        if provisional:
            self._desk.display.show_provisional(found, answer)
            return
        self._remember(sentence)
        node: Any = self._desk.display.add(found, answer)
        if node is None:
            self._desk.display.show_nothing()
        else:
            self._desk.display.show(node)
        self.update_note()

    def _remember(self, sentence: str) -> None:
        box = self._ui.historyComboBox
        known = [str(box.itemText(i)) for i in range(box.count)]
        if sentence in known:
            box.removeItem(known.index(sentence))
        box.insertItem(0, sentence)
        box.setCurrentIndex(0)
        while box.count > HISTORY:
            box.removeItem(HISTORY)

    def _again(self, index: int) -> None:
        self._ui.askLineEdit.text = str(self._ui.historyComboBox.itemText(index))
        self.ask()

    def _forget(self) -> None:
        volume = self._desk.volume()
        if volume is not None:
            count = provenance.forget_text(volume.GetScene())
            self._desk.say(_("The words of {count} result(s) were taken out of the scene.").format(count=count))
        self._ui.historyComboBox.clear()
        self.update_note()
