"""Turns for the work under way, between the page's own events (the browser's side of `tasks.Scheduler`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_BETWEEN_S = 0.004


class Turns:
    """Calls a function for as long as it says that there is more to do.

    Args:
        turn: does a few milliseconds of work; whether there is more.
        after: called after each turn, so that the page is told what changed.
    """

    def __init__(self, turn: Callable[[], bool], after: Callable[[], None]) -> None:
        self._turn, self._after = turn, after
        self._work = asyncio.Event()

    def wake(self) -> None:
        """There is work."""
        self._work.set()

    async def run(self) -> None:
        """For as long as the session lives."""
        while True:
            await self._work.wait()
            self._work.clear()
            if self._turn():
                self._work.set()
            self._after()
            await asyncio.sleep(_BETWEEN_S)
