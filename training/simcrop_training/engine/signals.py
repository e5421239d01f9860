"""Requests from outside to save and stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

# What Slurm, torchrun and a terminal (Ctrl-C) send; Windows has no SIGUSR1.
_NAMES = ("SIGTERM", "SIGUSR1", "SIGINT")


class StopRequests:
    """While entered, SIGTERM, SIGINT and, where it exists, SIGUSR1 only set `received`; a second SIGINT ends at once.

    Handlers are put back afterwards.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, signal.Handlers | int | object] = {}

    def __enter__(self) -> StopRequests:
        # Python lets the main thread alone set handlers; elsewhere the caller has its own way to stop a run.
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.received = number
