"""A typed sentence: answered in grey while it is typed, kept in colour when Enter is pressed."""

from __future__ import annotations

from typing import Any

from SimCroPSlicerLib.logic import Answer
from SimCroPSlicerLib.rows import sentence_row
from SimCroPSlicerLib.tasks import Task

from SimCroPViewer.desk import CHOOSE_FIRST, Desk, after_pause

PAUSE_S = 0.25
HISTORY = 30


class AskPart:
    """The section "Ask".

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._task: Task | None = None
        self._kept = ""
        desk.state.update({"ask_text": "", "ask_answer": "", "ask_history": []})
        self._later = after_pause(PAUSE_S, lambda: self._ask(provisional=True))
        desk.state.change("ask_text")(self._typed)

    def ask(self) -> None:
        """Look for the sentence and keep its heatmap."""
        self._ask(provisional=False)

    def clear(self) -> None:
        """Another CT was opened."""
        self._desk.state.ask_answer = ""

    def _typed(self, ask_text: str | None, **_: Any) -> None:
        typed = (ask_text or "").strip()
        if not typed:
            self._desk.state.ask_answer = ""
        elif typed != self._kept:
            self._later()

    def _ask(self, *, provisional: bool) -> None:
        sentence = (self._desk.state.ask_text or "").strip()
        if not sentence or (provisional and (sentence == self._kept or self._desk.volume is None)):
            return
        if self._desk.volume is None:
            self._desk.say(CHOOSE_FIRST, "warning")
            return
        if self._task is not None:
            self._task.cancel()
        if not provisional:
            self._kept = sentence
        volume = self._desk.volume
        self._task = self._desk.run(
            "Looking for the sentence",
            self._desk.logic.grounded(volume, sentences=[sentence]),
            lambda answer: self._answered(answer, sentence, volume, provisional=provisional),
            quiet=provisional,
        )

    def _answered(self, answer: Answer, sentence: str, volume: Any, *, provisional: bool) -> None:
        self._task = None
        self._desk.checked(volume, answer.passport)
        found = answer.found[0]
        evidence, says, place, score, rank = sentence_row(found.result).cells[1:]
        words = [word for word in (evidence, says, place, score and f"score {score}", rank and f"rank {rank}") if word]
        self._desk.state.ask_answer = " · ".join([*words, *answer.warnings])
        if provisional:
            self._desk.display.show_provisional(found, answer)
            return
        known = [asked for asked in self._desk.state.ask_history if asked != sentence]
        self._desk.state.ask_history = [sentence, *known][:HISTORY]
        self._desk.chosen()
        node = self._desk.display.add(found, answer)
        if node is None:
            self._desk.display.show_nothing()
        else:
            self._desk.display.show(node)
