"""Connections that are kept for the next request, over `http.client`."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from simcrop_core.errors import Cancelled, ServerUnreachable
from simcrop_core.serve import wire

_READ = 1 << 18
_MOST_KEPT = 8


class Call:
    """One request while it runs: what it reports, and the way to stop it from any thread.

    Args:
        progress: called with every report, in the thread that asked.
    """

    def __init__(self, progress: Callable[[wire.ProgressEvent], None] | None = None) -> None:
        self._progress = progress
        self._connection: http.client.HTTPConnection | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Stop it: the connection is cut, whereupon the server drops the work."""
        with self._lock:
            self._cancelled = True
            connection = self._connection
        if connection is not None and connection.sock is not None:
            _cut(connection.sock)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def _use(self, connection: http.client.HTTPConnection | None) -> None:
        with self._lock:
            self._connection = connection

    def _check(self) -> None:
        if self._cancelled:
            raise Cancelled("The request was cancelled.", hint="Ask again to start over.")

    def _report(self, event: wire.ProgressEvent) -> None:
        if self._progress is not None:
            self._progress(event)


class Connections:
    """Connections to one server.

    Args:
        address: with scheme, host and port.
        token: that goes with every request.
        tls: for https.
        timeout_s: longest wait for the next bytes.
    """

    def __init__(self, address: str, token: str, *, tls: ssl.SSLContext | None, timeout_s: float) -> None:
        no_address = ServerUnreachable(f"{address} is no address of a server.", hint="Give http://host:port.")
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as fault:
            raise no_address from fault
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise no_address
        self._address = address
        self._host = parts.hostname
        self._port = port
        self._token = token
        self._tls = tls
        self._timeout_s = timeout_s
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ipaddress.ip_address(self._host).is_loopback
        except ValueError:
            return self._host == "localhost"

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def ask(self, request: wire.Request, call: Call) -> wire.ResultEvent:
        """One request and its answer; once more over a new connection where a kept one turns out to be closed.

        Raises:
            SimCroPError: what the server says is wrong.
            Cancelled: through `call`.
            ServerUnreachable: nothing answers, or the connection broke.
            BrokenAnswer: what answers is not in the protocol.
        """
        kept = self._kept() if request.length is not None else None
        if kept is not None:
            try:
                return self._exchanged(kept, request, call)
            except _Stale:
                call._check()
        try:
            return self._exchanged(self._new(), request, call)
        except _Stale as fault:
            # Through `cancel` it looks the same.
            call._check()
            raise self._unreachable("closed the connection") from fault

    def _exchanged(self, connection: http.client.HTTPConnection, request: wire.Request, call: Call) -> wire.ResultEvent:
        call._use(connection)
        whole = False
        try:
            call._check()
            response = self._sent(connection, request)
            result = self._answered(response, call)
            # After a long body that was not sent to its end, nothing else may follow on the same connection.
            whole = response.isclosed() and not response.will_close and request.length is not None
            return result
        except (OSError, http.client.HTTPException) as fault:
            call._check()
            raise self._unreachable("stopped answering") from fault
        finally:
            call._use(None)
            self._keep(connection) if whole and not call.cancelled else connection.close()

    def _sent(self, connection: http.client.HTTPConnection, request: wire.Request) -> http.client.HTTPResponse:
        # A server that refuses a long body answers before it has read it all.
        with contextlib.suppress(_AnsweredEarly, BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
            connection.request(
                request.method,
                request.path,
                body=_body(connection, request),
                headers=request.headers(self._token),
                encode_chunked=request.length is None,
            )
        try:
            return connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest) as fault:
            raise _Stale from fault

    def _answered(self, response: http.client.HTTPResponse, call: Call) -> wire.ResultEvent:
        answer = wire.Answer(response.status, response.getheader("Content-Type", ""))
        result: wire.ResultEvent | None = None
        while True:
            data = response.read1(_READ)
            answer.feed(data) if data else answer.end()
            for event in answer.events():
                call._check()
                if isinstance(event, wire.FaultEvent):
                    raise event.error()
                if isinstance(event, wire.ProgressEvent):
                    call._report(event)
                if isinstance(event, wire.ResultEvent):
                    result = event
            if not data:
                call._check()
                assert result is not None, "an answer without a result is broken, which `events` says"
                return result

    def _kept(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _MOST_KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _new(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
        )
        try:
            connection.connect()
        except OSError as fault:
            raise self._unreachable("does not answer", fault) from fault
        assert connection.sock is not None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _unreachable(self, what: str, fault: OSError | None = None) -> ServerUnreachable:
        detail = f" ({fault})" if isinstance(fault, ssl.SSLError) else ""
        return ServerUnreachable(
            f"The server at {self._address} {what}{detail}.", hint="See whether it runs, or start it again."
        )


class _Stale(Exception):
    """The other side had closed the connection before it answered."""


def _body(connection: http.client.HTTPConnection, request: wire.Request) -> Iterable[bytes] | None:
    """The body to send: one whose length was announced in any case to its end."""
    if request.length is None:
        return _until_answered(connection, request.body)
    return request.body if request.length else None


class _AnsweredEarly(Exception):
    """The answer is there before the whole body was sent."""


def _until_answered(connection: http.client.HTTPConnection, body: Iterable[bytes]) -> Iterator[bytes]:
    """The body, until the server says something."""
    for piece in body:
        assert connection.sock is not None, "it is connected while it sends"
        if select.select([connection.sock], [], [], 0)[0]:
            raise _AnsweredEarly
        yield piece


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It was closed already: there is nothing to cut.
        return
