"""What the parts of the page share: its state, the engine, what is in view, and one way to run work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.logic import EngineLogic
from SimCroPSlicerLib.rows import progress_text
from SimCroPSlicerLib.tasks import Task, Work

from simcrop_core.errors import Cancelled, SimCroPError

Level = Literal["info", "warning", "error"]
LOG = logging.getLogger("simcrop.view")
CHOOSE_FIRST = "Open a chest CT first."


class Desk:
    """The page's parts work on this.

    Args:
        server: trame's.
        logic: asks the engine.
        display: what is in view.

    Attributes:
        volume: node of the CT that is looked at, or None.
    """

    def __init__(self, server: Any, logic: EngineLogic, display: HeatmapDisplay) -> None:
        self.server = server
        self.state = server.state
        self.logic = logic
        self.display = display
        self.volume: Any = None
        self._shown: Task | None = None
        self._background: set[asyncio.Task[None]] = set()
        self.state.update({"message": "", "message_level": "info", "busy": False, "busy_text": "", "busy_percent": 0})

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

    async def result(self, title: str, work: Work) -> Any:
        """The same, waited for.

        Raises:
            SimCroPError: as of the work; also `Cancelled`.
        """
        came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        # Whoever waits may have gone: a download that was broken off.
        def done(result: Any) -> None:
            if not came.done():
                came.set_result(result)

        def failed(fault: SimCroPError) -> None:
            if not came.done():
                came.set_exception(fault)

        self.run(title, work, done, failed=failed)
        return await came

    def cancel(self) -> None:
        """Stop what is under way."""
        self.state.busy_text = "Stopping…"
        self.logic.scheduler.cancel_all()

    def say(self, text: str, level: Level = "info") -> None:
        """A message on top of the page; "" takes it away."""
        self.state.message, self.state.message_level = text, level

    def fault(self, fault: SimCroPError) -> None:
        """Say what went wrong and what to do about it."""
        self.say(f"{fault.message} {fault.hint}".strip(), "warning")

    def chosen(self, table: str = "", row: int = -1) -> None:
        """Mark the row whose heatmap is in view, and no other; none for a sentence that was asked."""
        rows = {f"{name}_row": row if name == table else -1 for name in ("report", "finding", "here")}
        self.state.update(rows)

    def busy(self, text: str) -> None:
        """Show that something is under way."""
        self.state.update({"busy": True, "busy_text": text, "busy_percent": 0})

    def idle(self) -> None:
        """Nothing is under way that is shown."""
        self.state.busy = False

    def background(self, work: Awaitable[None]) -> None:
        """Run something of the page's own beside everything else, and tell the page what it changed."""

        async def told() -> None:
            try:
                await work
            except SimCroPError as fault:
                self.idle()
                self.fault(fault)
            self.state.flush()

        task = asyncio.ensure_future(told())
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A fault of our own is logged, and not kept from the user."""
        self._background.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        LOG.error("a part of the session has ended", exc_info=task.exception())
        self.say("The page has met an error of its own. Open the address again for a new session.", "error")
        self.state.flush()

    def _progress(self, task: Task, event: Any) -> None:
        if task is self._shown:
            self.state.busy_text = progress_text(event.stage, event.done, event.total, event.eta_s)
            self.state.busy_percent = 100 * event.done // event.total if event.total else 0

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


def after_pause(wait_s: float, call: Callable[[], None]) -> Callable[[], None]:
    """A function that makes `call` come once, some time after the last time that it was used itself."""
    waiting: list[asyncio.TimerHandle] = []

    def used() -> None:
        while waiting:
            waiting.pop().cancel()
        waiting.append(asyncio.get_running_loop().call_later(wait_s, call))

    return used
