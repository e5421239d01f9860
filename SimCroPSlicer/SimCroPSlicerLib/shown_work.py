"""Work that a user waits for: begun, shown while it goes on, and what went wrong said. For panel and page alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from simcrop_core.errors import Cancelled, SimCroPError
from SimCroPSlicerLib.logic import EngineLogic
from SimCroPSlicerLib.rows import progress_text
from SimCroPSlicerLib.tasks import Task, Work


class ShownWork(ABC):
    """One way to run work; what shows it says how. Only the last work begun that is not quiet is shown.

    Args:
        logic: asks the engine.
    """

    def __init__(self, logic: EngineLogic) -> None:
        self.logic = logic
        self._shown: Task | None = None

    def run(
        self,
        title: str,
        work: Work,
        done: Callable[[Any], None],
        *,
        quiet: bool = False,
        failed: Callable[[SimCroPError], None] | None = None,
    ) -> Task:
        """Begin work, show how it goes, and say what went wrong.

        Args:
            title: in the user's words.
            work: from the logic.
            done: called with its result.
            quiet: show no progress (a sentence being typed).
            failed: called too when it fails.
        """
        task = self.logic.scheduler.start(
            title,
            work,
            done=lambda result: self._finished(task, lambda: done(result)),
            failed=lambda fault: self._finished(task, lambda: self._failed(fault, failed)),
            progress=lambda event: self._progress(task, event),
        )
        if not quiet:
            self._shown = task
            self.busy(title)
            self.say("")
        return task

    @abstractmethod
    def busy(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show that something is under way, `done` parts of `total`; 0 of 0 where it is not known."""

    @abstractmethod
    def idle(self) -> None:
        """Nothing is under way that is shown."""

    @abstractmethod
    def say(self, text: str) -> None:
        """A message on top; "" takes it away."""

    @abstractmethod
    def fault(self, fault: SimCroPError) -> None:
        """Say what went wrong and what to do about it."""

    def _progress(self, task: Task, event: Any) -> None:
        if task is self._shown:
            self.busy(progress_text(event.stage, event.done, event.total, event.eta_s), event.done, event.total)

    def _finished(self, task: Task, tell: Callable[[], None]) -> None:
        if task is self._shown:
            self._shown = None
            self.idle()
        tell()

    def _failed(self, fault: SimCroPError, failed: Callable[[SimCroPError], None] | None) -> None:
        if not isinstance(fault, Cancelled):
            self.fault(fault)
        if failed is not None:
            failed(fault)
