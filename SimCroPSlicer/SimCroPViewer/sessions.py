"""The sessions of a front: one process a browser tab, begun with the tab and ended some time after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from SimCroPViewer import processes
from SimCroPViewer.options import SessionOptions

_LOG_LINES = 60


class SessionProcess:
    """One session: its process, and where it listens once it does.

    Args:
        options: told to it.
        ended: called when its process has ended.

    Attributes:
        id: in the address of its page; who knows it is let in.
        port: on this machine; None until it listens.
        failed: whether it ended before it listened.
        log: its last lines.
    """

    def __init__(self, options: SessionOptions, ended: Callable[[SessionProcess], None]) -> None:
        # Lower case: the page's own code changes addresses to it.
        self.id = secrets.token_hex(24)
        self.secret = options.secret
        self.port: int | None = None
        self.failed = False
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.pid: int | None = None
        self._options = options
        self._ended = ended
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin the process; it listens some seconds later."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "SimCroPViewer.session", stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()
        )
        self.pid = self._process.pid
        self._watching = asyncio.create_task(self._watch(self._process))
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(self._options.line().encode())
            await self._process.stdin.drain()

    async def stop(self) -> None:
        """End it: ask, then insist."""
        if self._process is not None:
            await processes.end(self._process)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        reading = asyncio.create_task(processes.keep_lines(process.stderr, self.log))
        async for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self.port = int(json.loads(line)["port"])
        await process.wait()
        await reading
        self.failed = self.port is None
        self.port = None
        self._ended(self)


def _environment() -> dict[str, str]:
    """As of the front, with this package importable, and off-screen drawing where there is no screen."""
    source = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([*(entry for entry in sys.path if entry), source])
    environment = {**os.environ, "PYTHONPATH": path}
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    return environment
