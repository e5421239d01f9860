"""One request over one non-blocking socket, driven from outside: no thread, and no call here ever waits."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simcrop_core.errors import BrokenAnswer, ServerUnreachable, SimCroPError
from simcrop_core.serve import wire

_RECEIVE = 1 << 18
_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        host: a literal address (names are resolved by Qt: `runners.RemoteEngine`).
        port: TCP.
        token: "" where the server wants none.
        name: of the host, which its certificate must show; "" without TLS.
    """

    host: str
    port: int
    token: str
    name: str = ""

    def __repr__(self) -> str:
        return f"Address({self.host}:{self.port})"


class Connection:
    """A request on its way and its answer.

    Args:
        request: from `simcrop_core.serve.wire`.
        address: of the server.
        cafile: of the certificate authority that signed the server's certificate; "" for the system's own.
    """

    def __init__(self, request: wire.Request, address: Address, cafile: str = "") -> None:
        self.request = request
        self._exchange = wire.Exchange(request, f"{address.name or address.host}:{address.port}", address.token)
        self._outgoing = self._exchange.outgoing()
        self._left = memoryview(b"")
        self._sent = False
        self._failed = False
        self._advance = self._connecting
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.setblocking(False)
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # In progress is no failure; a failure shows when the socket becomes writable.
        plain.connect_ex((address.host, address.port))
        self._socket = plain
        self._tls = _context(cafile) if address.name else None
        self._name = address.name

    def poll(self, more: Callable[[], bool]) -> Iterator[wire.Event]:
        """Send and receive what goes without waiting, and give the events that are complete.

        Args:
            more: whether there is time for another piece of work (a chunk of a megabyte at most).

        Raises:
            ServerUnreachable: nothing answers, or the connection broke.
            BrokenAnswer: what came is not in the protocol.
        """
        try:
            while more():
                moved = self._advance()
                for event in self._exchange.events():
                    yield event
                    if not more():
                        return
                if not moved:
                    return
        except OSError as fault:
            raise _unreachable() from fault

    @property
    def finished(self) -> bool:
        """Whether the whole answer has arrived."""
        return self._exchange.finished

    def close(self) -> None:
        """Hang up; the server stops what it does for this request."""
        self._socket.close()

    def _connecting(self) -> bool:
        _, writable, broken = select.select([], [self._socket], [self._socket], 0)
        if broken or (writable and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            raise _unreachable()
        if not writable:
            return False
        if self._tls is not None:
            self._socket = self._tls.wrap_socket(
                self._socket, server_hostname=self._name, do_handshake_on_connect=False
            )
            self._advance = self._shaking_hands
        else:
            self._advance = self._exchanging
        return True

    def _shaking_hands(self) -> bool:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except _WOULD_BLOCK:
            return False
        except ssl.SSLError as fault:
            raise ServerUnreachable(
                f"The server's certificate was not accepted: {fault.reason}.",
                hint="Ask the server's administrator for the certificate authority's file, and name it in Engine.",
            ) from fault
        self._advance = self._exchanging
        return True

    def _exchanging(self) -> bool:
        sent = self._send()
        return self._receive() or sent

    def _send(self) -> bool:
        if self._sent:
            return False
        if not self._left:
            piece = next(self._outgoing, None)
            if piece is None:
                self._sent = True
                return False
            self._left = memoryview(piece)
        try:
            self._left = self._left[self._socket.send(self._left) :]
        except _WOULD_BLOCK:
            return False
        except ConnectionError:
            # The server may have refused a long body with an answer that is still to be read.
            self._sent = True
        return True

    def _receive(self) -> bool:
        if self._exchange.finished:
            return False
        try:
            data = self._socket.recv(_RECEIVE)
        except _WOULD_BLOCK:
            return False
        if data:
            self._exchange.receive(data)
            return True
        try:
            self._exchange.connection_closed()
        except BrokenAnswer as fault:
            raise _unreachable() from fault
        return False


def _context(cafile: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile or None)


def _unreachable() -> SimCroPError:
    return ServerUnreachable(
        "The engine does not answer.", hint="Start it again in Engine; its last log lines are shown there."
    )
