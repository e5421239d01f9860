"""Lanes of work: a thread each, in turn between those who ask."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """One thread that does task after task. Keys take turns, so nobody waits for more than one task of each other.

    Asked in the event loop's thread.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"simcrop-{name}")
        # Begun now: a thread that begins when memory is short may fail unheard, and Python waits for it for ever.
        self._thread.submit(int)
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._taken = False
        self._idle = threading.Event()
        self._idle.set()

    async def run(self, key: str, task: Callable[[], T]) -> T:
        """Do a task when it is its turn; one that is cancelled before is never begun.

        Args:
            key: whose turn it takes.
            task: what to do, in the lane's thread.
        """
        await self._turn(key)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, task)
        finally:
            self._pass_on()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait, in another lane's thread, until nothing is done or waits here; False where that took too long."""
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """End the thread after the task that it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, key: str) -> None:
        if not self._taken:
            self._taken = True
            self._idle.clear()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            key, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(key)
            else:
                del self._waiting[key]
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False
        self._idle.set()
