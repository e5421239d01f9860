"""What client and server say to each other, without input or output: requests to bytes, bytes to events.

`Exchange` is one request and its answer over any connection: write what `outgoing` yields, feed `receive` with what
arrives, take `events`. It needs the standard library and numpy, no thread, and never blocks. The protocol is described
in docs/serve.md.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simcrop_core.errors import BrokenAnswer, NotAuthorised
from simcrop_core.serve.content_id import content_id, content_id_steps
from simcrop_core.serve.frames import (
    CHUNK,
    CONTENT_TYPE,
    Array,
    ArrayPart,
    Coding,
    Event,
    FaultEvent,
    FrameDecoder,
    ProgressEvent,
    ResultEvent,
    array_frames,
    codings_here,
    line,
)
from simcrop_core.serve.http11 import ResponseParser, request_bytes

__all__ = [
    "CHUNK", "CONTENT_TYPE", "PROTOCOL", "TOKEN_VARIABLE", "Answer", "Array", "ArrayPart", "Coding", "Event",
    "Exchange", "FaultEvent", "FrameDecoder", "ProgressEvent", "Request", "ResultEvent", "array_frames", "at",
    "cancel", "capabilities", "check", "close_session", "codings_here", "content_id", "content_id_steps", "encode",
    "export", "findings", "ground", "health", "heartbeat", "line", "new_id", "open_path", "open_volume",
    "parse", "segment", "session", "shutdown", "upload", "weights",
]  # fmt: skip

# Client and server must have the same; it is in every path.
PROTOCOL = 1
TOKEN_VARIABLE = "SIMCROP_SERVE_TOKEN"
_ROOT = f"/v{PROTOCOL}"

Sentence = str | Mapping[str, str]


def new_id() -> str:
    """A new id of a request."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Request:
    """One request, not yet sent. `id` is what `cancel` takes.

    Attributes:
        method: of HTTP.
        path: below the server's address.
        body: in pieces, each packed when it is asked for; it can be sent once.
        length: bytes of the body; None where they are not known before they are packed.
        content_type: of the body.
        id: of this request, made up here.
    """

    method: str
    path: str
    body: Iterable[bytes] = ()
    length: int | None = 0
    content_type: str = "application/json"
    id: str = field(default_factory=new_id)

    def headers(self, token: str) -> dict[str, str]:
        """The headers that go with it.

        Raises:
            NotAuthorised: no server has such a token: a header holds ASCII without control characters.
        """
        if not (token.isascii() and (token.isprintable() or not token)):
            raise NotAuthorised(
                "A token is made of letters, digits and signs of ASCII; this one holds others.",
                hint="Copy it again from whoever runs the server.",
            )
        headers = {
            "Accept": f"{CONTENT_TYPE}, application/json",
            "X-Request-Id": self.id,
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.length != 0:
            headers["Content-Type"] = self.content_type
        if self.length is not None:
            headers["Content-Length"] = str(self.length)
        return headers


def _post(where: str, /, **fields: Any) -> Request:
    body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    return Request("POST", _ROOT + where, (body,), len(body))


def health() -> Request:
    """Whether the server is up and warm; needs no token."""
    return Request("GET", f"{_ROOT}/health")


def capabilities() -> Request:
    """Versions, the engine's own pid, device, weights, tasks, limits, codings."""
    return Request("GET", f"{_ROOT}/capabilities")


def weights() -> Request:
    """Every set of weights on the server, with licence and provenance, and which is in use."""
    return Request("GET", f"{_ROOT}/weights")


def upload(voxels: Array, affine: Array, *, name: str = "volume", coding: Coding = "zlib") -> Request:
    """Send a volume; the result's `volume` is the id of its content, for `open_volume`.

    Args:
        voxels: (x, y, z) HU of one of `frames.DTYPES`; x fastest in memory needs no copy. Packed as it is sent.
        affine: (4, 4) voxel → patient RAS, mm.
        name: what results call it: never a patient's name.
        coding: "raw" on the same machine, "zlib" over a network.
    """

    def body() -> Iterator[bytes]:
        yield from array_frames("voxels", voxels, coding, affine=np.asarray(affine, float).tolist(), title=name)
        yield line("end")

    return Request("POST", f"{_ROOT}/volumes", body(), None, CONTENT_TYPE)


def open_volume(volume: str, *, force: bool = False, lease_s: float | None = None) -> Request:
    """A session on a volume that was sent before.

    Args:
        volume: the id of its content.
        force: go on where no lungs are found.
        lease_s: how long the session lives without being used or a heartbeat.
    """
    return _post("/sessions", volume=volume, force=force, lease_s=lease_s)


def open_path(
    path: str,
    *,
    series: str | None = None,
    frame: int | None = None,
    force: bool = False,
    lease_s: float | None = None,
) -> Request:
    """A session on a file or folder that the server reads itself; only where it runs for this machine's user."""
    return _post("/sessions", path=path, series=series, frame=frame, force=force, lease_s=lease_s)


def session(session_id: str) -> Request:
    """What there is of a session: its volume, whether it is encoded, and the seconds its lease has left."""
    return Request("GET", f"{_ROOT}/sessions/{session_id}")


def heartbeat(session_id: str) -> Request:
    """Renew the lease of a session."""
    return _post(f"/sessions/{session_id}/heartbeat")


def close_session(session_id: str) -> Request:
    """End a session; everything of it is freed."""
    return Request("DELETE", f"{_ROOT}/sessions/{session_id}")


def parse(*, report: str | None = None, sentences: Sequence[Sentence] | None = None) -> Request:
    """What sentences say (polarity, side, lobe, image), without a scan. A sentence is text, or text with a heading."""
    return _post("/parse", report=report, sentences=_sentences(sentences))


def check(session_id: str) -> Request:
    """What the header checks say of the scan, and what of it the model sees."""
    return _post(f"/sessions/{session_id}/check")


def encode(session_id: str) -> Request:
    """Encode the scan now, so that the first sentence needs not wait for it."""
    return _post(f"/sessions/{session_id}/encode")


def ground(
    session_id: str, *, sentences: Sequence[Sentence] | None = None, report: str | None = None, heatmaps: bool = True
) -> Request:
    """Find sentences, or those of a report, in the scan.

    Args:
        session_id: of an open session.
        sentences: text, or {"text": …, "heading": …} as `parse` gives it.
        report: a whole report instead.
        heatmaps: also send the heatmaps.
    """
    return _post(f"/sessions/{session_id}/ground", sentences=_sentences(sentences), report=report, heatmaps=heatmaps)


def at(
    session_id: str,
    point_ras_mm: Sequence[float],
    *,
    sentences: Sequence[Sentence] | None = None,
    report: str | None = None,
) -> Request:
    """Rank sentences by how well they fit the place at a point of the patient."""
    point = [float(mm) for mm in point_ras_mm]
    return _post(f"/sessions/{session_id}/at", point_ras_mm=point, sentences=_sentences(sentences), report=report)


def segment(session_id: str, task: str) -> Request:
    """Label the scan: "lungs", "chest", or whatever else `capabilities` names. The array is `labels`."""
    return _post(f"/sessions/{session_id}/segment", task=task)


def findings(session_id: str, *, heatmaps: bool = True) -> Request:
    """Score the 18 CT-RATE labels: uncalibrated scores."""
    return _post(f"/sessions/{session_id}/findings", heatmaps=heatmaps)


def export(
    session_id: str,
    *,
    sentences: Sequence[Sentence] | None = None,
    report: str | None = None,
    full_resolution: bool = False,
    draw_absent: bool = False,
) -> Request:
    """The folder that `simcrop ground` writes (heatmaps, figures, JSON, page) as a zip: the bytes of array `zip`."""
    return _post(
        f"/sessions/{session_id}/export",
        sentences=_sentences(sentences),
        report=report,
        full_resolution=full_resolution,
        draw_absent=draw_absent,
    )


def cancel(request_id: str) -> Request:
    """Stop a running or waiting request, by its `Request.id`, over another connection."""
    return _post(f"/requests/{request_id}/cancel")


def shutdown() -> Request:
    """End a server that runs for one user of this machine (`simcrop serve --local`)."""
    return _post("/shutdown")


def _sentences(sentences: Sequence[Sentence] | None) -> list[dict[str, str]] | None:
    if sentences is None:
        return None
    return [{"text": s, "heading": ""} if isinstance(s, str) else dict(s) for s in sentences]


class Answer:
    """The body of one answer to events.

    Args:
        status: of HTTP.
        content_type: of the body.
    """

    def __init__(self, status: int, content_type: str) -> None:
        self._status = status
        self._frames = FrameDecoder() if content_type.startswith(CONTENT_TYPE) else None
        self._plain = bytearray()
        self._ended = False
        self._final = False

    def feed(self, data: bytes) -> None:
        """Take bytes of the body."""
        if self._frames is not None:
            self._frames.feed(data)
        else:
            self._plain += data

    def end(self) -> None:
        """Say that the body is whole."""
        self._ended = True

    def events(self) -> Iterator[Event]:
        """What is complete so far. The last event of an answer is a `ResultEvent` or a `FaultEvent`.

        Raises:
            BrokenAnswer: this is not in the protocol, or the answer is not whole.
        """
        for event in self._plain_events() if self._frames is None else self._frames.events():
            self._final = self._final or isinstance(event, ResultEvent | FaultEvent)
            yield event
        if self._ended and not self._final:
            raise BrokenAnswer("The answer ends before its result.", hint="Ask again; see the server's log.")

    def _plain_events(self) -> Iterator[Event]:
        if not self._ended or self._final:
            return
        try:
            document = json.loads(bytes(self._plain) or b"{}")
        except ValueError:
            document = None
        if self._status < 300 and isinstance(document, dict):
            yield ResultEvent(document)
        elif isinstance(document, dict) and "code" in document:
            yield FaultEvent(str(document["code"]), str(document.get("message", "")), str(document.get("hint", "")))
        else:
            raise BrokenAnswer(
                f"What answers at this address is no simcrop server of protocol {PROTOCOL} (HTTP {self._status}).",
                hint="Check the address, and that server and client have the same version.",
            )


class Exchange:
    """One request and its answer over a connection that the caller drives.

    Args:
        request: to send.
        host: "address:port", for the Host header.
        token: of the server.
    """

    def __init__(self, request: Request, host: str, token: str) -> None:
        self.request = request
        self._host = host
        self._token = token
        self._parser = ResponseParser()
        self._answer: Answer | None = None

    def outgoing(self) -> Iterator[bytes]:
        """The bytes to write, a piece of at most about `CHUNK` at a time, each packed when it is asked for."""
        headers = {"Host": self._host, **self.request.headers(self._token)}
        return request_bytes(self.request.method, self.request.path, headers, self.request.body)

    def receive(self, data: bytes) -> None:
        """Take bytes that arrived.

        Raises:
            BrokenAnswer: this is no HTTP/1.1.
        """
        self._take(self._parser.feed(data))

    def connection_closed(self) -> None:
        """Say that the other side closed the connection.

        Raises:
            BrokenAnswer: the answer is not whole.
        """
        self._parser.connection_closed()
        self._take(b"")

    def _take(self, body: bytes) -> None:
        head = self._parser.head
        if head is None:
            return
        if self._answer is None:
            self._answer = Answer(head.status, head.headers.get("content-type", ""))
        self._answer.feed(body)
        if self._parser.finished:
            self._answer.end()

    def events(self) -> Iterator[Event]:
        """What is complete so far; take them one by one where time is short, the rest stays for the next call.

        Raises:
            BrokenAnswer: this is not in the protocol.
        """
        return iter(()) if self._answer is None else self._answer.events()

    @property
    def finished(self) -> bool:
        """Whether the whole answer has arrived (its last events may still wait in `events`)."""
        return self._parser.finished

    @property
    def keeps_connection(self) -> bool:
        """Whether the same connection may take another request after this one."""
        head = self._parser.head
        return self.finished and head is not None and head.headers.get("connection", "").lower() != "close"
