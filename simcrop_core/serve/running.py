"""One request at work: its progress and its result as a stream of frames, and the way to stop it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from simcrop_core.errors import Cancelled
from simcrop_core.progress import Job, Progress
from simcrop_core.serve.faults import document_of, named
from simcrop_core.serve.frames import Array, array_frames, line

# A line this often, even if nothing changed: the client sees that the server lives, the server that the client does.
_ALIVE_S = 0.5
_BETWEEN_REPORTS_S = 0.05
_STOPPED = Cancelled("The request was cancelled.", hint="Ask again to start over.")
# Packing less than this takes no time that anybody would notice.
_PACKED_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a piece of work gives: the document of its result, and arrays by name."""

    document: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)


class Running:
    """One piece of work, from its request until the last byte of its answer.

    Args:
        owner: of whose token it is.
        request_id: of the request.
        queued: it takes a place in the queue.
        session: that it is about; "" where it is about none.
    """

    def __init__(self, owner: str, request_id: str, *, queued: bool = True, session: str = "") -> None:
        self.owner = owner
        self.session = session
        self.queued = queued
        self.id = request_id
        self.job = Job(self._report)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._cancelled = False
        self._latest: Progress | None = None
        self._stage_began = 0.0
        self._stage_ends = 0.0

    def cancel(self) -> None:
        """Answer at once that it was cancelled; the work itself stops at its next step. For the event loop's thread."""
        self._cancelled = True
        self.job.cancel()
        self._changed.set()

    def _report(self, progress: Progress) -> None:
        """Take a step's report, in the thread that does the work."""
        now = time.monotonic()
        if self._latest is None or self._latest.stage != progress.stage or progress.done == 0:
            self._stage_began = now
        if progress.done and progress.total:
            self._stage_ends = now + (now - self._stage_began) / progress.done * (progress.total - progress.done)
        self._latest = progress
        self._loop.call_soon_threadsafe(self._changed.set)

    async def frames(self, work: Callable[[Running], Awaitable[Outcome]]) -> AsyncGenerator[bytes]:
        """Do the work and say how it goes. Closing the iterator, as a broken connection does, cancels the work."""
        task = asyncio.ensure_future(work(self))
        task.add_done_callback(_looked_at)
        try:
            async for report in self._reports(task):
                yield report
            fault = _STOPPED if self._cancelled else task.exception()
            if fault is not None:
                yield line("error", **document_of(named(fault)))
                return
            outcome = task.result()
            for name, array in outcome.arrays.items():
                async for piece in _packed(name, array):
                    yield piece
            yield line("result", document=outcome.document)
        finally:
            self.job.cancel()
            task.cancel()

    async def _reports(self, task: asyncio.Future[Outcome]) -> AsyncIterator[bytes]:
        """Progress until the work is done or cancelled."""
        while not task.done() and not self._cancelled:
            changed = asyncio.ensure_future(self._changed.wait())
            either: set[asyncio.Future[Any]] = {task, changed}
            await asyncio.wait(either, timeout=_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            self._changed.clear()
            if not task.done() and not self._cancelled:
                yield self._progress_line()
                await asyncio.wait({task}, timeout=_BETWEEN_REPORTS_S)

    def _progress_line(self) -> bytes:
        latest = self._latest
        if latest is None:
            return line("progress", stage="Waiting", done=0, total=0, eta_s=None)
        left_s = round(max(0.0, self._stage_ends - time.monotonic()), 1)
        eta_s = left_s if latest.done and latest.total else None
        return line("progress", stage=latest.stage, done=latest.done, total=latest.total, eta_s=eta_s)


def _looked_at(task: asyncio.Future[Outcome]) -> None:
    """Take note of a fault that nobody waits for any more: else asyncio writes its words, which may name a patient."""
    if not task.cancelled():
        task.exception()


async def _packed(name: str, array: Array) -> AsyncIterator[bytes]:
    """Frames of an array. Large ones are packed in another thread, and heatmaps, which do not pack well, are not."""
    if array.nbytes < _PACKED_AT_ONCE:
        for piece in array_frames(name, array, "raw"):
            yield piece
        return
    pieces = array_frames(name, array, "zlib")
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
