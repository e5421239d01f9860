"""The sessions of a front: one process a browser tab, begun with the tab and ended some time after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from SimCroPViewer.options import SessionOptions

LOG = logging.getLogger("simcrop.view")
_LOG_LINES = 60
_SOFT_S = 3.0


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
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _SOFT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        reading = asyncio.create_task(self._read_log(process.stderr))
        async for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self.port = int(json.loads(line)["port"])
        await process.wait()
        await reading
        self.failed = self.port is None
        self.port = None
        self._ended(self)

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.log.append(line.decode("utf-8", "replace").rstrip())
            LOG.debug("session: %s", self.log[-1])


def _environment() -> dict[str, str]:
    """As of the front, with this package importable, and off-screen drawing where there is no screen."""
    source = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([*(entry for entry in sys.path if entry), source])
    environment = {**os.environ, "PYTHONPATH": path}
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    return environment
