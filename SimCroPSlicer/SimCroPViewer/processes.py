"""Child processes: ended politely, their words kept."""

from __future__ import annotations

import asyncio
from collections import deque

_SOFT_S = 3.0


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process: ask, then insist; nothing where it has ended."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _SOFT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def keep_lines(stream: asyncio.StreamReader, lines: deque[str]) -> None:
    """Add what a process writes to `lines` until it closes the stream."""
    while line := await stream.readline():
        lines.append(line.decode("utf-8", "replace").rstrip())
