"""Progress out of long work, and cancellation into it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from simcrop_core.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage of the work is: `done` of `total` steps (`total` 0: not known)."""

    stage: str
    done: int
    total: int


class Job:
    """One piece of long work: it reports its steps and can be asked, from any thread, to stop.

    Args:
        report: called with every step, in the thread that does the work.
    """

    def __init__(self, report: Callable[[Progress], None] | None = None) -> None:
        self._report = report
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancelled.set()

    def step(self, stage: str, done: int, total: int) -> None:
        """Report a step, or stop here.

        Raises:
            Cancelled: `cancel` was called.
        """
        if self._cancelled.is_set():
            raise Cancelled(
                f"Stopped while: {stage}.", hint="Files already written are whole. Run it again to start over."
            )
        if self._report is not None:
            self._report(Progress(stage, done, total))
