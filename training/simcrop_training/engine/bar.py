"""The progress of a run in the terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """Steps done, loss, time passed and time left, on standard error; nothing where that is no terminal.

    Args:
        shown: whether this rank shows it.
        done: steps before.
        total: steps of the run.
    """

    def __init__(self, *, shown: bool, done: int, total: int) -> None:
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            speed_estimate_period=300.0,
            disable=not (shown and sys.stderr.isatty()),
        )
        self._task = self._progress.add_task("training", completed=done, total=total, loss="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def at(self, step: int, loss: float | None) -> None:
        """Show a step, and the loss that was last read."""
        self._progress.update(self._task, completed=step, loss="" if loss is None else f"loss {loss:.4f}")
