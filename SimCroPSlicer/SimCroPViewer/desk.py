"""What the parts of the page share: its state, the engine, what is in view, and one way to run work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.logic import EngineLogic
from SimCroPSlicerLib.rows import check_row, worst_first
from SimCroPSlicerLib.shown_work import ShownWork
from SimCroPSlicerLib.tasks import Work

from simcrop_core.errors import SimCroPError
from SimCroPViewer.tables import as_rows

Level = Literal["info", "warning", "error"]
LOG = logging.getLogger("simcrop.view")
CHOOSE_FIRST = "Open a chest CT first."


class Desk(ShownWork):
    """The page's parts work on this.

    Args:
        server: trame's.
        logic: asks the engine.
        display: what is in view.

    Attributes:
        volume: node of the CT that is looked at, or None.
        read: what the reader of its file found, which the engine is not told.
    """

    def __init__(self, server: Any, logic: EngineLogic, display: HeatmapDisplay) -> None:
        super().__init__(logic)
        self.server = server
        self.state = server.state
        self.display = display
        self.volume: Any = None
        self.read: list[dict[str, Any]] = []
        self._background: set[asyncio.Task[None]] = set()
        self.state.update({"message": "", "message_level": "info", "busy": False, "busy_text": "", "busy_percent": 0})
        self.checked(None, [])

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
        self.say(f"{fault.message} {fault.hint} ({fault.code})", "warning")

    def checked(self, volume: Any, passport: list[dict[str, Any]]) -> None:
        """Show the checks that an answer about a CT brought; of one that is not looked at any more, nothing."""
        if volume is self.volume:
            rows = [check_row(finding) for finding in worst_first([*self.read, *passport])]
            self.state.update({"check_rows": as_rows(rows), "check_row": -1})

    def chosen(self, table: str = "", row: int = -1) -> None:
        """Mark the row whose heatmap is in view, and no other, none for a sentence that was asked; heat is shown."""
        rows = {f"{name}_row": row if name == table else -1 for name in ("report", "finding", "here")}
        self.state.update({**rows, "heat_hidden": False})

    def busy(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show that something is under way."""
        percent = 100 * done // total if total else 0
        self.state.update({"busy": True, "busy_text": text, "busy_percent": percent})

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


def after_pause(wait_s: float, call: Callable[[], None]) -> Callable[[], None]:
    """A function that makes `call` come once, some time after the last time that it was used itself."""
    waiting: list[asyncio.TimerHandle] = []

    def used() -> None:
        while waiting:
            waiting.pop().cancel()
        waiting.append(asyncio.get_running_loop().call_later(wait_s, call))

    return used
