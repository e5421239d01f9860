"""The engine from notebooks and scripts: a blocking client of `simcrop serve`, on numpy and the standard library.

    with Client("http://127.0.0.1:8378", token) as client, client.open(voxels, affine) as scan:
        grounded = scan.ground(["Nodule in the right upper lobe."])
        print(grounded.document["sentences"][0]["peak_ras_mm"])

It talks to the address it is given and to nothing else: no proxy of the environment comes in between.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenAnswer, ServerUnreachable, UnknownSession, UnknownVolume
from simcrop_core.serve import wire
from simcrop_core.serve.connections import Call, Connections

__all__ = ["Call", "Client", "Scan"]


class Client:
    """A server and the token that it lets in. Safe to use from several threads.

    Args:
        address: such as "http://127.0.0.1:8378" or "https://gpu.example:8378".
        token: of the server.
        ca_file: PEM certificates to trust instead of the system's, with https.
        timeout_s: longest wait for a sign of life; a busy server gives one twice a second.
    """

    def __init__(self, address: str, token: str, *, ca_file: Path | None = None, timeout_s: float = 30.0) -> None:
        tls = ssl.create_default_context(cafile=ca_file) if address.lower().startswith("https:") else None
        self.address = address
        self._connections = Connections(address, token, tls=tls, timeout_s=timeout_s)
        self._scans: dict[str, Scan] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Client:
        """Use it in a `with`: its sessions end with the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every session and close the connections."""
        self._closed.set()
        for scan in list(self._scans.values()):
            scan.close()
        self._connections.close()

    def health(self) -> dict[str, Any]:
        """Whether the server is up and its models are loaded; needs no token.

        Raises:
            ServerUnreachable: nothing answers.
            BrokenAnswer: it has another version of the protocol.
        """
        document = self._asked(wire.health())
        if document.get("protocol") != wire.PROTOCOL:
            raise BrokenAnswer(
                f"The server speaks protocol {document.get('protocol')}, this client {wire.PROTOCOL}.",
                hint="Use a server and a client of the same version.",
            )
        return document

    def capabilities(self) -> dict[str, Any]:
        """Versions, the engine's own pid, device, weights, tasks and limits, once the models are loaded."""
        return self._asked(wire.capabilities())

    def weights(self) -> dict[str, Any]:
        """Every set of weights of the server, with licence and provenance."""
        return self._asked(wire.weights())

    def parse(
        self, *, report: str | None = None, sentences: Sequence[wire.Sentence] | None = None
    ) -> list[dict[str, Any]]:
        """What sentences say, without a scan (docs/text.md)."""
        statements: list[dict[str, Any]] = self._asked(wire.parse(report=report, sentences=sentences))["statements"]
        return statements

    def open(
        self,
        voxels: wire.Array,
        affine: NDArray[np.float64],
        *,
        name: str = "volume",
        force: bool = False,
        lease_s: float | None = None,
        coding: wire.Coding | None = None,
        call: Call | None = None,
    ) -> Scan:
        """Open a session on a volume; it is sent unless the server still holds it.

        Args:
            voxels: (x, y, z) HU.
            affine: (4, 4) voxel → patient RAS, mm.
            name: what results call it: never a patient's name.
            force: go on where no lungs are found.
            lease_s: how long the session outlives this client.
            coding: how voxels are packed; else raw on this machine, blosc2 where both ends have it, zlib.
            call: to follow or stop the sending.

        Raises:
            SimCroPError: the volume is refused (docs/passport.md), too large, or the server cannot be reached.
        """
        content = wire.content_id(voxels, affine)
        call = call or Call()

        def opened() -> dict[str, Any]:
            request = wire.open_volume(content, force=force, lease_s=lease_s)
            try:
                return self.ask(request, call).document
            except UnknownVolume:
                self.ask(wire.upload(voxels, affine, name=name, coding=coding or self._best_coding()), call)
            return self.ask(wire.open_volume(content, force=force, lease_s=lease_s), call).document

        return self._scan(opened)

    def _best_coding(self) -> wire.Coding:
        if self._connections.loopback:
            return "raw"
        both = "blosc2" in wire.codings_here() and "blosc2" in self.capabilities()["codings"]
        return "blosc2" if both else "zlib"

    def open_path(
        self,
        path: str | Path,
        *,
        series: str | None = None,
        frame: int | None = None,
        force: bool = False,
        lease_s: float | None = None,
        call: Call | None = None,
    ) -> Scan:
        """Open a session on a file or folder that the server reads itself (`simcrop serve --local` only).

        Raises:
            SimCroPError: as `simcrop_core.inference.session.Session.open`, or the server opens no paths.
        """
        absolute = str(Path(path).resolve())

        def opened() -> dict[str, Any]:
            request = wire.open_path(absolute, series=series, frame=frame, force=force, lease_s=lease_s)
            return self.ask(request, call).document

        return self._scan(opened)

    def shutdown(self) -> None:
        """End the server (`simcrop serve --local` only)."""
        self._asked(wire.shutdown())

    def ask(self, request: wire.Request, call: Call | None = None) -> wire.ResultEvent:
        """Any request of `wire`: its result, or the fault as an exception.

        Raises:
            SimCroPError: what the server says is wrong.
            Cancelled: through `call`.
            ServerUnreachable: nothing answers, or the connection broke.
            BrokenAnswer: what answers is not in the protocol.
        """
        return self._connections.ask(request, call or Call())

    def _asked(self, request: wire.Request) -> dict[str, Any]:
        return self.ask(request).document

    def _scan(self, opened: Callable[[], dict[str, Any]]) -> Scan:
        scan = Scan(self, opened)
        with self._lock:
            if self._heart is None:
                self._heart = threading.Thread(target=self._beat, name="simcrop-heartbeat", daemon=True)
                self._heart.start()
        return scan

    def _beat(self) -> None:
        """Keep the sessions alive while this client lives."""
        while not self._closed.wait(min([scan.lease_s for scan in self._scans.values()] or [30.0]) / 4):
            for scan in list(self._scans.values()):
                scan.beat()


class Scan:
    """A session on one scan. Its `state` is what the server said of it: volume, passport, lease.

    Args:
        client: it belongs to.
        opened: opens it on the server, again after the server was restarted.
    """

    def __init__(self, client: Client, opened: Callable[[], dict[str, Any]]) -> None:
        self._client = client
        self._opened = opened
        self.state: dict[str, Any] = {}
        self.reopen()

    @property
    def id(self) -> str:
        """Of the session."""
        return str(self.state["session"])

    @property
    def lease_s(self) -> float:
        """How long the server keeps the session without hearing of it."""
        return float(self.state["lease_s"])

    def __enter__(self) -> Scan:
        """Use it in a `with`: the session ends with the block, and everything of it is freed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reopen(self) -> None:
        """Open the same scan again, after `UnknownSession`; it is sent again where that is needed."""
        self._client._scans.pop(str(self.state.get("session")), None)
        self.state = self._opened()
        self._client._scans[self.id] = self

    def close(self) -> None:
        """End the session. One that is gone already, or whose server is, is left alone."""
        if self._client._scans.pop(self.id, None) is not None:
            with contextlib.suppress(UnknownSession, ServerUnreachable):
                self._client.ask(wire.close_session(self.id))

    def beat(self) -> None:
        """Renew the lease; a session that is gone is told by the next question."""
        with contextlib.suppress(UnknownSession, ServerUnreachable):
            self._client.ask(wire.heartbeat(self.id))

    def check(self, *, call: Call | None = None) -> dict[str, Any]:
        """What the header checks found, and what of the scan the model sees."""
        return self._client.ask(wire.check(self.id), call).document

    def encode(self, *, call: Call | None = None) -> None:
        """Encode the scan now, so that the first sentence needs not wait for it."""
        self._client.ask(wire.encode(self.id), call)

    def ground(
        self,
        sentences: Sequence[wire.Sentence] | None = None,
        *,
        report: str | None = None,
        heatmaps: bool = True,
        call: Call | None = None,
    ) -> wire.ResultEvent:
        """Find sentences, or those of a report, in the scan.

        Returns:
            `document` as of `simcrop ground --json`, and what docs/serve.md adds; `arrays` with the heatmaps.

        Raises:
            NothingToGround: there is no sentence.
            NotAChest: no lungs were found, and the session was not forced.
            UnknownSession: `reopen` it.
            Cancelled: through `call`.
        """
        return self._client.ask(wire.ground(self.id, sentences=sentences, report=report, heatmaps=heatmaps), call)

    def at(
        self,
        point_ras_mm: Sequence[float],
        sentences: Sequence[wire.Sentence] | None = None,
        *,
        report: str | None = None,
        call: Call | None = None,
    ) -> dict[str, Any]:
        """Rank sentences by how well they fit the place at a point of the patient."""
        return self._client.ask(wire.at(self.id, point_ras_mm, sentences=sentences, report=report), call).document

    def findings(self, *, heatmaps: bool = True, call: Call | None = None) -> wire.ResultEvent:
        """Score the 18 CT-RATE labels: uncalibrated scores."""
        return self._client.ask(wire.findings(self.id, heatmaps=heatmaps), call)

    def segment(self, task: str, *, call: Call | None = None) -> wire.ResultEvent:
        """Label the scan.

        Returns:
            `document` as of `simcrop segment --json`; array `labels`, (x, y, z) uint8 on the scan's own grid.

        Raises:
            TaskNotSupported: the weights do not know the task.
            Cancelled: through `call`.
        """
        return self._client.ask(wire.segment(self.id, task), call)

    def export(
        self,
        sentences: Sequence[wire.Sentence] | None = None,
        *,
        report: str | None = None,
        full_resolution: bool = False,
        draw_absent: bool = False,
        call: Call | None = None,
    ) -> bytes:
        """Everything that `simcrop ground` writes, as a zip."""
        request = wire.export(
            self.id, sentences=sentences, report=report, full_resolution=full_resolution, draw_absent=draw_absent
        )
        return self._client.ask(request, call).arrays["zip"].tobytes()
