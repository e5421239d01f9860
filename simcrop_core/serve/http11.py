"""HTTP/1.1 without input or output: for programs that drive their own sockets, such as a Qt event loop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from simcrop_core.errors import BrokenAnswer

_LONGEST_HEAD = 64 << 10
_LONGEST_SIZE_LINE = 1 << 10
# Plain digits, as the standard has them (RFC 9112): Python's int would take signs, underscores and other scripts too.
_STATUS = re.compile(r"[1-9][0-9]{2}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


@dataclass(frozen=True)
class Head:
    """Status and headers of an answer; header names in lower case."""

    status: int
    headers: dict[str, str]


def request_bytes(method: str, target: str, headers: dict[str, str], body: Iterable[bytes]) -> Iterator[bytes]:
    """One request as it goes over a connection: the head, then each piece of the body.

    A body is sent as HTTP chunks unless the headers have a Content-Length.
    """
    words = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    chunked = "Content-Length" not in headers
    if chunked:
        words.append("Transfer-Encoding: chunked")
    yield ("\r\n".join(words) + "\r\n\r\n").encode("latin-1")
    for piece in body:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    if chunked:
        yield b"0\r\n\r\n"


class ResponseParser:
    """The bytes of one answer to its head and body; `finished` when it is whole."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.finished = False
        self._buffer = bytearray()
        self._left: int | None = None
        self._chunked = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the connection and give the bytes of the body that they hold.

        Raises:
            BrokenAnswer: this is no HTTP/1.1.
        """
        self._buffer += data
        if self.head is None and not self._read_head():
            return b""
        body = b""
        if self._chunked:
            body = b"".join(iter(self._chunk, b""))
        elif not self.finished:
            taken = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
            body = bytes(self._buffer[:taken])
            del self._buffer[:taken]
            if self._left is not None:
                self._left -= taken
                self.finished = self._left == 0
        return body

    def connection_closed(self) -> None:
        """Say that no more comes.

        Raises:
            BrokenAnswer: the answer is not whole.
        """
        if self.head is not None and self._left is None and not self._chunked:
            self.finished = True
        if not self.finished:
            raise BrokenAnswer("The connection ended before the answer did.", hint="Ask again; see the server's log.")

    def _read_head(self) -> bool:
        status = 100
        while status < 200:  # what begins with 1 only says that the answer is still to come
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _LONGEST_HEAD:
                    raise _no_http()
                return False
            first, *rest = self._buffer[:end].decode("latin-1").split("\r\n")
            del self._buffer[: end + 4]
            words = first.split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not _STATUS.fullmatch(words[1]):
                raise _no_http()
            status = int(words[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        self.head = Head(status, headers)
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        if not self._chunked and "content-length" in headers:
            if not _LENGTH.fullmatch(headers["content-length"]):
                raise _no_http()
            self._left = int(headers["content-length"])
        self.finished = self._left == 0 or self.head.status in (204, 304)
        return True

    def _chunk(self) -> bytes:
        """What there is of the body's next HTTP chunk; b"" where nothing can be taken yet."""
        if self.finished:
            return b""
        if not self._left:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > _LONGEST_SIZE_LINE:
                    raise _no_http()
                return b""
            size = bytes(self._buffer[:end]).split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size):
                raise _no_http()
            self._left = int(size, 16)
            if self._left == 0:
                # What trailers there may be are not used; the last empty line ends the answer.
                if self._buffer.find(b"\r\n\r\n", end) < 0:
                    return b""
                self.finished = True
                return b""
            del self._buffer[: end + 2]
            # The line end behind the data counts with it.
            self._left += 2
        taken = min(self._left, len(self._buffer))
        piece = bytes(self._buffer[: max(0, min(taken, self._left - 2))])
        del self._buffer[:taken]
        self._left -= taken
        return piece or (self._chunk() if not self._left and taken else b"")


def _no_http() -> BrokenAnswer:
    return BrokenAnswer("What answers at this address does not speak HTTP/1.1.", hint="Check host and port.")
