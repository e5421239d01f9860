"""Requests over lines that are kept for the next one, driven from outside: no thread, and no call here ever waits."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simcrop_core.errors import BrokenAnswer
from simcrop_core.serve import wire
from SimCroPSlicerLib.line import Address, Line, trust, unreachable

MOST_KEPT = 4
# Servers close idle connections after 75 s: one that is younger is most likely open.
_KEPT_S = 60.0


class Connection:
    """A request on its way and its answer.

    Args:
        request: from `simcrop_core.serve.wire`.
        address: of the server.
        line: to it.
        again: another line, where a kept one turns out to be closed; None where the line is new.
        keep: takes the line when the answer is there.
    """

    def __init__(
        self,
        request: wire.Request,
        address: Address,
        line: Line,
        *,
        again: Callable[[], Line] | None,
        keep: Callable[[Line, wire.Exchange], None],
    ) -> None:
        self.request = request
        self._address = address
        self._line = line
        self._again = again
        self._keep = keep
        self._begin()

    def _begin(self) -> None:
        address = self._address
        self._exchange = wire.Exchange(self.request, f"{address.name or address.host}:{address.port}", address.token)
        self._outgoing = self._exchange.outgoing()
        self._left = memoryview(b"")
        self._sent = False
        self._refused = False
        self._heard = False

    def poll(self, more: Callable[[], bool]) -> Iterator[wire.Event]:
        """Send and receive what goes without waiting, and give the events that are complete.

        Args:
            more: whether there is time for another piece of work (a chunk of a megabyte at most).

        Raises:
            ServerUnreachable: nothing answers, or the connection broke.
            BrokenAnswer: what came is not in the protocol.
        """
        while more():
            moved = self._moves()
            for event in self._exchange.events():
                yield event
                if not more():
                    return
            if not moved:
                return

    @property
    def finished(self) -> bool:
        """Whether the whole answer has arrived."""
        return self._exchange.finished

    def close(self) -> None:
        """Hang up; the server stops what it does for this request."""
        self._line.close()

    def release(self) -> None:
        """The answer's last event is there: the line may serve again."""
        if self._sent and not self._refused:
            self._keep(self._line, self._exchange)
        else:
            self._line.close()

    def _moves(self) -> bool:
        try:
            if not self._line.ready():
                return False
            sent = self._sends()
            return self._receives() or sent
        except OSError as fault:
            if self._starts_again():
                return True
            raise unreachable() from fault

    def _starts_again(self) -> bool:
        """The server had closed a kept line before it heard the request: it is asked once more over a new one."""
        if self._again is None or self._heard:
            return False
        self._line.close()
        self._line, self._again = self._again(), None
        self._begin()
        return True

    def _sends(self) -> bool:
        if self._sent:
            return False
        if not self._left:
            piece = next(self._outgoing, None)
            if piece is None:
                self._sent = True
                return False
            self._left = memoryview(piece)
        try:
            count = self._line.send(self._left)
        except ConnectionError:
            # The server may have refused a long body with an answer that is still to be read.
            self._sent = self._refused = True
            return True
        self._left = self._left[count:]
        return bool(count)

    def _receives(self) -> bool:
        if self._exchange.finished:
            return False
        data = self._line.receive()
        if data is None:
            return False
        if data:
            self._heard = True
            self._exchange.receive(data)
            return True
        if self._starts_again():
            return True
        try:
            self._exchange.connection_closed()
        except BrokenAnswer as fault:
            raise unreachable() from fault
        return False


@dataclass(frozen=True)
class _Kept:
    address: Address
    cafile: str
    line: Line
    exchange: wire.Exchange
    since: float

    def usable(self) -> bool:
        """Whether the last answer has arrived to its end and nobody has hung up."""
        try:
            data = self.line.receive()
            if data and not self.exchange.finished:
                self.exchange.receive(data)
                data = self.line.receive()
        except (OSError, BrokenAnswer):
            return False
        return data is None and self.exchange.keeps_connection


class Lines:
    """Connections to the engine in use, kept between requests.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: list[_Kept] = []
        self._trusted: dict[str, ssl.SSLContext] = {}

    def connect(self, request: wire.Request, address: Address, cafile: str = "") -> Connection:
        """Send a request off.

        Args:
            request: from `simcrop_core.serve.wire`.
            address: of the server.
            cafile: of the certificate authority that signed the server's certificate; "" for the system's own.

        Raises:
            UnreadableFile: no certificate can be read from `cafile`.
        """

        def new() -> Line:
            return Line(address, self._trust(cafile) if address.name else None)

        def keep(line: Line, exchange: wire.Exchange) -> None:
            self._kept.append(_Kept(address, cafile, line, exchange, self._clock()))
            while len(self._kept) > MOST_KEPT:
                self._kept.pop(0).line.close()

        # A body of unknown length is made while it is sent, so it can be sent only once.
        kept = self._usable(address, cafile) if request.length is not None else None
        return Connection(request, address, kept or new(), again=new if kept else None, keep=keep)

    def close(self) -> None:
        """Hang up every line that is kept."""
        for kept in self._kept:
            kept.line.close()
        self._kept = []

    def _usable(self, address: Address, cafile: str) -> Line | None:
        while self._kept:
            kept = self._kept.pop()
            fits = (kept.address, kept.cafile) == (address, cafile) and self._clock() - kept.since < _KEPT_S
            if fits and kept.usable():
                return kept.line
            kept.line.close()
        return None

    def _trust(self, cafile: str) -> ssl.SSLContext:
        # Reading the system's authorities takes some 20 ms: once is enough.
        if cafile not in self._trusted:
            self._trusted[cafile] = trust(cafile)
        return self._trusted[cafile]
