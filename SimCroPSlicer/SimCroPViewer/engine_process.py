"""The one engine behind all sessions: a child process of the front, or a server elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
from collections import deque
from typing import Any

from SimCroPSlicerLib.server_url import server_url

from simcrop_core.serve.wire import TOKEN_VARIABLE
from SimCroPViewer import processes
from SimCroPViewer.options import EngineOptions

LOG_LINES = 400
SHOWN_LINES = 12


class Engine:
    """Where the engine is, and its life; whoever waits for `changed` hears of every step of it.

    Attributes:
        version: counts the changes.
        state: "stopped", "starting", "running" or "crashed".
        log: its last lines.
    """

    def __init__(self) -> None:
        self.version = 0
        self.state = "stopped"
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.address: dict[str, Any] | None = None
        self._condition = asyncio.Condition()

    async def start(self) -> None:
        """Start or look for it; does nothing where it is there or on its way."""
        raise AssertionError("an engine is local or remote")

    async def stop(self) -> None:
        """End it, or leave it."""
        raise AssertionError("an engine is local or remote")

    async def changed(self, after: int, most_s: float) -> dict[str, Any]:
        """What is known of it, as soon as there is something newer than version `after`."""
        async with self._condition:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._condition.wait_for(lambda: self.version > after), most_s)
        return {
            "version": self.version,
            "state": self.state,
            "address": self.address,
            "log": list(self.log)[-SHOWN_LINES:],
        }

    async def _is(self, state: str, address: dict[str, Any] | None = None) -> None:
        async with self._condition:
            self.state, self.address = state, address
            self.version += 1
            self._condition.notify_all()


class LocalEngine(Engine):
    """`simcrop serve` as a child process: its own port and token, its output drained.

    Args:
        options: weights and device.
    """

    def __init__(self, options: EngineOptions) -> None:
        super().__init__()
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        # Several sessions may ask at once.
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start it, unless it runs."""
        async with self._turn:
            if self._process is None:
                await self._begin()

    async def stop(self) -> None:
        """End it: ask, then insist."""
        async with self._turn:
            process, self._process = self._process, None
            if process is None or process.returncode is not None:
                return
            await processes.end(process)
            await self._is("stopped")

    async def _begin(self) -> None:
        token = secrets.token_urlsafe(32)
        command = [sys.executable, "-m", "simcrop_core.cli", "serve", "--port", "0", "--local"]
        command += ["--parent-pid", str(os.getpid()), "--weights", self._options.weights]
        command += ["--device", self._options.device]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=pipe, stderr=pipe, env={**os.environ, TOKEN_VARIABLE: token}
        )
        await self._is("starting")
        self._watching = asyncio.create_task(self._watch(self._process, token))

    async def _watch(self, process: asyncio.subprocess.Process, token: str) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        reading = asyncio.create_task(processes.keep_lines(process.stderr, self.log))
        async for line in process.stdout:
            if self.address is None and process is self._process:
                await self._listens(line, token)
        await process.wait()
        await reading
        if process is self._process:
            self._process = None
            self.log.append(f"The engine has ended (exit code {process.returncode}).")
            await self._is("crashed")

    async def _listens(self, line: bytes, token: str) -> None:
        try:
            port = int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            self.log.append(line.decode("utf-8", "replace").rstrip())
            return
        await self._is("running", {"host": "127.0.0.1", "port": port, "token": token, "name": ""})


class RemoteEngine(Engine):
    """A server elsewhere; it is looked up, and left alone otherwise.

    Args:
        options: its URL and token.

    Raises:
        BadRequest: the URL is no address of a server, or would send a scan unencrypted over the network.
    """

    def __init__(self, options: EngineOptions) -> None:
        super().__init__()
        self._where = server_url(options.server)
        self._token = options.token

    async def start(self) -> None:
        """Look its name up; whether it answers is seen with the first question."""
        if self.address is not None:
            return
        await self._is("starting")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._where.host, self._where.port, type=socket.SOCK_STREAM
            )
        except OSError as fault:
            self.log.append(f"{self._where.host}: {fault.strerror}")
            await self._is("crashed")
            return
        name = self._where.host if self._where.tls else ""
        address = {"host": str(found[0][4][0]), "port": self._where.port, "token": self._token, "name": name}
        await self._is("running", address)

    async def stop(self) -> None:
        """Leave it; it goes on for others."""
        await self._is("stopped")
