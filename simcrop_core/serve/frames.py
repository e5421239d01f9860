"""JSON lines and binary arrays in one stream of bytes, in both directions (docs/serve.md).

An event is one line of JSON. An array is announced by a line with its type and shape, and follows in chunks, x fastest,
each after a line that says how many bytes it has.
"""

from __future__ import annotations

import importlib.util
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenAnswer, SimCroPError, TooLarge, error_of

Coding = Literal["raw", "zlib", "blosc2"]
Array = NDArray[np.generic]

CONTENT_TYPE = "application/x-simcrop-frames"
# Raw bytes of a chunk: packed or unpacked in some 10 ms, so a thread that draws a window can do it one at a time.
CHUNK = 1 << 20
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_LONGEST_LINE = 16 << 20


@dataclass(frozen=True)
class ProgressEvent:
    """How far a stage is: `done` of `total` (0: not known), and the seconds it will still take, where known."""

    stage: str
    done: int
    total: int
    eta_s: float | None = None


@dataclass(frozen=True)
class ArrayPart:
    """One more chunk of an array has been unpacked; bytes of the array."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class ResultEvent:
    """The answer: its document (docs/serve.md) and the arrays that it names."""

    document: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultEvent:
    """The work failed or was cancelled: code, message and hint as of a `SimCroPError`."""

    code: str
    message: str
    hint: str = ""

    def error(self) -> SimCroPError:
        """The same as an exception of the class with that code."""
        return error_of(self.code, self.message, self.hint)


Event = ProgressEvent | ArrayPart | ResultEvent | FaultEvent


def codings_here() -> tuple[Coding, ...]:
    """The codings that this Python can pack and unpack."""
    return ("raw", "zlib", "blosc2") if importlib.util.find_spec("blosc2") else ("raw", "zlib")


def line(event: str, **fields: Any) -> bytes:
    """One event as a line."""
    return json.dumps({"event": event, **fields}, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def array_frames(name: str, array: Array, coding: Coding = "zlib", **fields: Any) -> Iterator[bytes]:
    """An array as frames, packed chunk by chunk as they are asked for.

    Args:
        name: what the result calls it.
        array: one to three axes, of one of `DTYPES`; x fastest in memory needs no copy.
        coding: how chunks are packed.
        fields: more of the announcing line.
    """
    dtype = array.dtype.newbyteorder("<")
    assert dtype.name in DTYPES, f"{dtype} is not sent"
    yield line("array", name=name, dtype=dtype.name, shape=list(array.shape), **fields)
    for raw in _raw_chunks(array.astype(dtype, copy=False)):
        packed = _pack(raw, coding)
        yield line("chunk", coding=coding, raw=len(raw), bytes=len(packed)) + packed


def _raw_chunks(array: Array) -> Iterator[memoryview]:
    """The bytes of an array, x fastest, copied by the chunk where memory has another order."""
    slow_first = array.T
    if slow_first.flags.c_contiguous:
        slabs = iter([slow_first])
    else:
        slab_bytes = max(1, slow_first[:1].nbytes)
        step = max(1, CHUNK // slab_bytes)
        slabs = (np.ascontiguousarray(slow_first[at : at + step]) for at in range(0, len(slow_first), step))
    for slab in slabs:
        raw = memoryview(slab.reshape(-1).view(np.uint8).data)
        for start in range(0, len(raw), CHUNK):
            yield raw[start : start + CHUNK]


def _pack(raw: memoryview, coding: Coding) -> bytes:
    if coding == "raw":
        return bytes(raw)
    if coding == "zlib":
        return zlib.compress(raw, 1)
    import blosc2

    packed: bytes = blosc2.compress2(bytes(raw), typesize=2, clevel=1)
    return packed


def _unpack(packed: bytes, coding: str, raw: int) -> bytes:
    """One chunk, and never more of it than was announced."""
    if coding == "raw":
        return packed
    if coding == "zlib":
        inflate = zlib.decompressobj()
        try:
            return inflate.decompress(packed, raw) if raw else b""
        except zlib.error as fault:
            raise BrokenAnswer("A chunk of data is damaged.", hint="Send it again.") from fault
    if coding == "blosc2" and "blosc2" in codings_here():
        import blosc2

        try:
            if blosc2.get_cbuffer_sizes(packed)[0] == raw:
                unpacked: bytes = blosc2.decompress2(packed)
                return unpacked
        except (RuntimeError, ValueError) as fault:
            raise BrokenAnswer("A chunk of data is damaged.", hint="Send it again.") from fault
        return b""
    raise BrokenAnswer(f"Chunks are packed as {str(coding)[:20]!r}, which is not known here.", hint="Use zlib.")


class FrameDecoder:
    """Frames out of bytes as they come; does no input or output itself.

    Feed it what arrived, then take events until there is none for now. Every event is little work (a line, or one chunk
    of an array), so the caller may stop between any two and go on later.

    Args:
        most_bytes: of all arrays together; more is refused before memory is taken.
        longest_line: of one line of JSON.
    """

    def __init__(self, *, most_bytes: int = 8 << 30, longest_line: int = _LONGEST_LINE) -> None:
        self.arrays: dict[str, Array] = {}
        self.announced: dict[str, dict[str, Any]] = {}
        self._left = most_bytes
        self._longest_line = longest_line
        self._buffer = bytearray()
        self._searched = 0
        self._filling: tuple[str, Array, int] | None = None
        self._chunk: dict[str, Any] | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes as they came off the connection."""
        self._buffer += data

    @property
    def between_events(self) -> bool:
        """Whether everything fed has been understood, and no array is unfinished."""
        return not self._buffer and self._filling is None and self._chunk is None

    def events(self) -> Iterator[Event]:
        """What is complete so far; call it again after feeding more.

        Raises:
            BrokenAnswer: these are no frames.
            TooLarge: an array is larger than `most_bytes` leaves room for, or a line is too long.
        """
        while True:
            event = self._chunk_event() if self._chunk is not None else self._line_event()
            if event is None:
                return
            if not isinstance(event, _Understood):
                yield event

    def _line_event(self) -> Event | _Understood | None:
        end = self._buffer.find(b"\n", self._searched)
        if max(end, len(self._buffer) if end < 0 else 0) > self._longest_line:
            raise TooLarge("A line of the message is too long.", hint="Send less at once.")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        fields = _parsed(text)
        kind = fields.get("event")
        try:
            return self._understood(str(kind), fields)
        except (KeyError, TypeError, ValueError, OverflowError) as fault:
            raise BrokenAnswer(f"A {str(kind)[:20]!r} event lacks what it needs.", hint=_VERSIONS) from fault

    def _understood(self, kind: str, fields: dict[str, Any]) -> Event | _Understood:
        if self._filling is not None and kind not in ("chunk", "error", "progress"):
            raise ValueError("an array is not complete")
        if kind == "progress":
            eta_s = fields.get("eta_s")
            total = int(fields["total"])
            return ProgressEvent(
                str(fields["stage"]), int(fields["done"]), total, None if eta_s is None else float(eta_s)
            )
        if kind == "result":
            return ResultEvent(dict(fields["document"]), dict(self.arrays))
        if kind == "error":
            return FaultEvent(str(fields["code"]), str(fields["message"]), str(fields.get("hint", "")))
        if kind == "array":
            self._begin(fields)
        elif kind == "chunk":
            self._chunk = self._checked_chunk(fields)
        # Other kinds are of a newer version that says more: nothing here depends on them.
        return _UNDERSTOOD

    def _begin(self, fields: dict[str, Any]) -> None:
        name, dtype, shape = str(fields["name"]), str(fields["dtype"]), [int(n) for n in fields["shape"]]
        if dtype not in DTYPES or not 1 <= len(shape) <= 3 or min(shape) < 1 or name in self.arrays:
            raise ValueError("no array that is sent")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > self._left:
            raise TooLarge(
                f"An array of {size / 2**20:.0f} MiB is more than is taken here.",
                hint="Crop the volume, or ask for less.",
            )
        self._left -= size
        array: Array = np.empty(shape, np.dtype(dtype).newbyteorder("<"), order="F")
        self.arrays[name] = array
        self.announced[name] = fields
        self._filling = (name, array.reshape(-1, order="F").view(np.uint8), 0)

    def _checked_chunk(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self._filling is None:
            raise ValueError("no array was announced")
        _, flat, done = self._filling
        raw, packed = int(fields["raw"]), int(fields["bytes"])
        # Packing random bytes makes them a little longer.
        if not 0 < raw <= min(CHUNK, len(flat) - done) or not 0 < packed <= CHUNK + (CHUNK >> 4):
            raise ValueError("no size of a chunk")
        return {"coding": fields["coding"], "raw": raw, "bytes": packed}

    def _chunk_event(self) -> Event | None:
        assert self._chunk is not None
        assert self._filling is not None
        size, raw = self._chunk["bytes"], self._chunk["raw"]
        if len(self._buffer) < size:
            return None
        unpacked = _unpack(bytes(self._buffer[:size]), self._chunk["coding"], raw)
        if len(unpacked) != raw:
            raise BrokenAnswer("A chunk of data is not as long as it says.", hint="Send it again.")
        del self._buffer[:size]
        name, flat, done = self._filling
        flat[done : done + raw] = np.frombuffer(unpacked, np.uint8)
        done += raw
        self._chunk = None
        self._filling = None if done == len(flat) else (name, flat, done)
        return ArrayPart(name, done, len(flat))


class _Understood:
    """A line was read that makes no event."""


_UNDERSTOOD = _Understood()
_VERSIONS = "Use a server and a client of the same version."


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise BrokenAnswer("A line of the message is not JSON.", hint=_VERSIONS) from fault
    if not isinstance(fields, dict):
        raise BrokenAnswer("A line of the message is no event.", hint=_VERSIONS)
    return fields
