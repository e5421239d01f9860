"""What the commands say: results on standard output, progress and faults on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from simcrop_core import progress
from simcrop_core.errors import OutOfMemory, SimCroPError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say_json(document: dict[str, Any]) -> None:
    """Print one JSON document to standard output."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def exit_code(run: Callable[[], int], *, stopped: str = "Nothing half-written was left behind.") -> int:
    """Run a command; a fault of the input or the environment, or Ctrl-C, is said and becomes 1.

    Args:
        run: the command; returns its exit code.
        stopped: what to say to whoever stopped it.
    """
    try:
        return run()
    except SimCroPError as fault:
        say_error(fault)
    except MemoryError:
        say_error(OutOfMemory("This does not fit in memory.", hint="Close other programs, or use a larger machine."))
    except KeyboardInterrupt:
        say_error(SimCroPError("Stopped.", hint=stopped))
    return 1


def say_error(fault: SimCroPError) -> None:
    """Print a fault and what to do about it to standard error, with its code for scripts."""
    err.print(f"[bold red]simcrop:[/] {_plain(fault.message)} [dim]({fault.code})[/]", soft_wrap=True)
    if fault.hint:
        err.print(f"  {_plain(fault.hint)}", soft_wrap=True)


def say_warnings(warnings: list[str]) -> None:
    """Print warnings to standard error."""
    for warning in warnings:
        err.print(f"[yellow]simcrop:[/] {_plain(warning)}", soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def shown_progress() -> Iterator[progress.Job]:
    """A job whose stages are shown as bars with the time remaining; they vanish when it is done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(step: progress.Progress) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.total or None)
            bars.update(tasks[step.stage], completed=step.done, total=step.total or None)

        yield progress.Job(show)
