"""One non-blocking connection to a server, plain or over TLS: no call here ever waits."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from dataclasses import dataclass

from simcrop_core.errors import ServerUnreachable, SimCroPError, UnreadableFile

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


class Line:
    """A connection from its beginning on.

    Args:
        address: of the server.
        tls: whom to trust; None where the address has no name.
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        self._name = address.name
        self._tls = tls
        self._connected = False
        self._ready = False
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # In progress is no failure; a failure shows when the socket becomes writable.
        self._socket.connect_ex((address.host, address.port))

    def ready(self) -> bool:
        """Go on connecting; whether bytes can be sent now or soon.

        Raises:
            ServerUnreachable: nothing answers, or its certificate is not to be trusted.
        """
        if not self._connected:
            self._connected = self._connects()
        if self._connected and not self._ready:
            self._ready = self._tls is None or self._shakes_hands()
        return self._ready

    def send(self, data: memoryview) -> int:
        """Send what goes; how many bytes that were.

        Raises:
            OSError: the connection broke.
        """
        try:
            return self._socket.send(data)
        except _WOULD_BLOCK:
            return 0

    def receive(self) -> bytes | None:
        """What has arrived; b"" where the other side has hung up, None where nothing is there.

        Raises:
            OSError: the connection broke.
        """
        try:
            return self._socket.recv(_RECEIVE)
        except _WOULD_BLOCK:
            return None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _connects(self) -> bool:
        _, writable, broken = select.select([], [self._socket], [self._socket], 0)
        if broken or (writable and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            raise unreachable()
        if writable and self._tls is not None:
            self._socket = self._tls.wrap_socket(
                self._socket, server_hostname=self._name, do_handshake_on_connect=False
            )
        return bool(writable)

    def _shakes_hands(self) -> bool:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except _WOULD_BLOCK:
            return False
        except ssl.SSLCertVerificationError as fault:
            raise ServerUnreachable(
                f"The server's certificate was not accepted: {fault.verify_message}.",
                hint="Ask the server's administrator for the certificate authority's file, and name it in Engine.",
            ) from fault
        except (ssl.SSLError, ConnectionError) as fault:
            raise ServerUnreachable(
                "What answers at this address does not speak TLS as it should.",
                hint="Check host and port, and whether the server was started with a certificate.",
            ) from fault
        return True


def trust(cafile: str) -> ssl.SSLContext:
    """Whom to trust: the certificate authorities of a PEM file, or with "" the system's own.

    Raises:
        UnreadableFile: the file is missing or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=cafile or None)
    except (OSError, ValueError) as fault:
        # An SSLError is an OSError: the file is there and holds no certificate.
        raise UnreadableFile(
            f"No certificate can be read from {cafile}.", hint="Name a PEM file of the certificate authority in Engine."
        ) from fault


def unreachable() -> SimCroPError:
    """Nobody answers."""
    return ServerUnreachable(
        "The engine does not answer.", hint="Start it again in Engine; its last log lines are shown there."
    )
