"""The server as a process: its socket, its one line on standard output, its end with that of its parent."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvicorn

from simcrop_core import __version__
from simcrop_core.errors import CannotListen, UnreadableFile
from simcrop_core.serve.app import create_app
from simcrop_core.serve.faults import LOG, Discreet
from simcrop_core.serve.settings import Settings
from simcrop_core.serve.wire import PROTOCOL

_PARENT_S = 0.5
_GRACE_S = 1
_HARD_END_S = 4.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: name or address of this machine.
        port: 0 for one that is free.
        certificate: TLS certificate, PEM; None for plain HTTP.
        key: its private key, PEM.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(settings: Settings, address: Address, *, parent_pid: int | None = None) -> None:
    """Run the server until it is told to stop, or its parent is gone.

    When it listens it prints one line of JSON to standard output: event, address, port, pid, protocol, version.

    Args:
        settings: of the engine.
        address: where to listen.
        parent_pid: of the process that it ends with.

    Raises:
        CannotListen: the address is taken or not this machine's, or a certificate has no key.
        UnknownWeights: there are no such weights.
        DeviceUnavailable: the machine has no such device.
    """
    if address.certificate is None and not address.loopback:
        LOG.warning(
            "Tokens and scans go over the network unencrypted: give a TLS certificate, or put a proxy in front."
        )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    app = create_app(settings)
    listening = _listening(address)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    server = _Server(config, ready=lambda: _say_ready(address, listening), before_end=app.state.service.stop_requests)
    app.state.stop = server.stop
    if parent_pid is not None:
        server.watch(parent_pid)
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], before_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._before_end = before_end
        self._parent: psutil.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    def watch(self, parent_pid: int) -> None:
        """End when that process does; at once if it is gone already."""
        try:
            self._parent = psutil.Process(parent_pid)
        except psutil.NoSuchProcess:
            self.should_exit = True

    def stop(self) -> None:
        """End soon."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()
        if self._parent is not None:
            self._watching = asyncio.create_task(self._end_with(self._parent))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell every client, then end: also if a lane is in the middle of a step that takes long."""
        hard_end = threading.Timer(_HARD_END_S, os._exit, (0,))
        hard_end.daemon = True
        hard_end.start()
        self._before_end()
        await super().shutdown(sockets)

    async def _end_with(self, parent: psutil.Process) -> None:
        # `is_running` also sees that another process got the same pid.
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(_PARENT_S)
        LOG.warning("The parent process is gone: ending.")
        self.should_exit = True


def _listening(address: Address) -> socket.socket:
    if (address.certificate is None) != (address.key is None):
        raise CannotListen("TLS needs both a certificate and its key.", hint="Give --tls-certificate and --tls-key.")
    for file in (address.certificate, address.key):
        if file is not None and not file.is_file():
            raise UnreadableFile(f"{file} is not a file.", hint="Give PEM files for TLS.")
    try:
        family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        # With the protocol named asyncio sends small answers at once; without, each waits 40 ms for an acknowledgement.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":
            # On Windows the same option would let two servers share the port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
    except OSError as fault:
        raise CannotListen(
            f"Cannot listen on {address.host}:{address.port}: {fault.strerror}.",
            hint="Choose another --port, or 0 for one that is free.",
        ) from fault
    listening.set_inheritable(False)
    return listening


def _say_ready(address: Address, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    scheme = "http" if address.certificate is None else "https"
    shown = f"[{host}]" if ":" in host else host
    ready = {
        "event": "ready",
        "address": f"{scheme}://{shown}:{port}",
        "port": port,
        "pid": os.getpid(),
        "protocol": PROTOCOL,
        "version": __version__,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
