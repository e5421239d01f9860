"""What the panel can ask for, as tasks: opening a volume, sentences, reports, segments, findings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import vtk
from numpy.typing import NDArray

from simcrop_core.errors import BrokenAnswer, ServerUnreachable, UnknownSession, UnknownVolume
from simcrop_core.serve import wire
from SimCroPSlicerLib.connection import Connection, Lines
from SimCroPSlicerLib.frames import Frame, frame_of
from SimCroPSlicerLib.geometry import Affine, Point, affine_of, local_point
from SimCroPSlicerLib.line import Address
from SimCroPSlicerLib.tasks import PAUSE, Scheduler, Work
from SimCroPSlicerLib.voxels import VolumeKey, key_of, voxels_of

# A session outlives a coffee, not a night; it ends by itself when Slicer is gone.
LEASE_S = 900.0
HEARTBEAT_S = 120.0
_SCHEMAS = {
    "ground": "simcrop.ground/1",
    "findings": "simcrop.findings/1",
    "segment": "simcrop.segment/1",
    "at": "simcrop.at/1",
}


class Engine(Protocol):
    """An engine process here or elsewhere (`runners`)."""

    @property
    def address(self) -> Address | None:
        """Where it listens; None until it does."""

    @property
    def on_this_machine(self) -> bool:
        """Whether bytes to it cost nothing."""

    @property
    def cafile(self) -> str:
        """Of the certificate authority for TLS; "" for the system's own."""

    @property
    def starting(self) -> bool:
        """Whether it is worth waiting for its address."""

    def start(self) -> None:
        """Start or look for it; does nothing where it is there already."""


@dataclass(frozen=True)
class Found:
    """One sentence or finding, and its heatmap where it has a place.

    Attributes:
        result: as of docs/results.md.
        scores: (X, Y, Z) cosine similarity.
        affine: (4, 4) patch index → RAS, mm.
    """

    result: dict[str, Any]
    scores: NDArray[np.float32] | None = None
    affine: Affine | None = None


@dataclass(frozen=True)
class Answer:
    """What the engine said of some sentences, or of the findings.

    Attributes:
        found: in the order asked.
        scale: (low, high) of the weights' colours.
        weights: name, sha256, licence, trained_on.
        warnings: for the user.
        passport: what the header checks found.
        frame: of a 4D sequence that was asked about; None for a volume of its own.
    """

    found: list[Found]
    scale: tuple[float, float]
    weights: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    passport: list[dict[str, Any]] = field(default_factory=list)
    frame: Frame | None = None


@dataclass(frozen=True)
class Segmented:
    """A label map on the volume's grid, and what the engine said of it."""

    labels: NDArray[np.uint8]
    names: dict[int, str]
    volume_ml: dict[str, float]
    weights: dict[str, Any]


class EngineLogic:
    """Asks one engine; knows which volumes it holds. No Qt, no thread.

    Args:
        engine: that is asked.
        wake: called when turns are wanted (`Scheduler`).
    """

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self.engine = engine
        self.scheduler = Scheduler(self, wake)
        self._lines = Lines()
        self._sessions: dict[VolumeKey, str] = {}
        self._opening: set[VolumeKey] = set()
        self._latest: dict[str, VolumeKey] = {}
        # Weak: a volume that the user has closed must not stay in Slicer's memory.
        self._volumes: dict[VolumeKey, Any] = {}

    def connect(self, request: wire.Request) -> Connection:
        """Send a request off.

        Raises:
            ServerUnreachable: there is no engine.
            UnreadableFile: the file of the certificate authority holds none.
        """
        address = self.engine.address
        if address is None:
            raise ServerUnreachable("The engine is not running.", hint="Start it in Engine.")
        return self._lines.connect(request, address, self.engine.cafile)

    def forget_sessions(self) -> None:
        """The engine has gone, and with it all that it held."""
        self._sessions.clear()
        self._volumes.clear()
        self._latest.clear()
        self._lines.close()

    def running(self) -> Work:
        """Wait until the engine listens, starting it where needed."""
        self.engine.start()
        while self.engine.address is None:
            if not self.engine.starting:
                raise ServerUnreachable("The engine could not be started.", hint="See its log in Engine.")
            yield PAUSE

    def capabilities(self) -> Work:
        """Versions, device, weights and tasks of the engine."""
        yield from self.running()
        answer = yield wire.capabilities()
        return answer.document

    def parsed(self, report: str) -> Work:
        """What the sentences of a report say, without a scan."""
        yield from self.running()
        answer = yield wire.parse(report=report)
        return answer.document["statements"]

    def opened(self, volume: Any) -> Work:
        """A session for a volume node as it is now; sent only where the engine does not hold it yet.

        Raises:
            NotASingleVolume: the node is no CT.
            SimCroPError: the engine refused it by name.
        """
        yield from self.running()
        yield from self.gone_closed()
        key = key_of(volume)
        self._latest[key.node_id] = key
        while key in self._opening:
            yield PAUSE
        if key not in self._sessions:
            self._opening.add(key)
            self._volumes[key] = vtk.vtkWeakReference()
            self._volumes[key].Set(volume)
            try:
                self._sessions[key] = yield from self._sent(volume)
            finally:
                self._opening.discard(key)
        return self._sessions[key]

    def _sent(self, volume: Any) -> Work:
        voxels, affine = voxels_of(volume), affine_of(volume)
        if self.engine.on_this_machine:
            uploaded = yield wire.upload(voxels, affine, name="volume", coding="raw")
            content = uploaded.document["volume"]
        else:
            content = yield from self._content(voxels, affine)
            try:
                answer = yield wire.open_volume(content, lease_s=LEASE_S)
            except UnknownVolume:
                yield wire.upload(voxels, affine, name="volume", coding="zlib")
            else:
                return answer.document["session"]
        answer = yield wire.open_volume(content, lease_s=LEASE_S)
        return answer.document["session"]

    def _content(self, voxels: NDArray[Any], affine: Affine) -> Work:
        for content in wire.content_id_steps(voxels, affine):
            if content is not None:
                return content
            yield None
        return None

    def _asked(self, volume: Any, request: Callable[[str], wire.Request]) -> Work:
        """An answer about a volume; where the engine has forgotten it, it is opened once more."""
        session = yield from self.opened(volume)
        try:
            answer = yield request(session)
        except UnknownSession:
            self._sessions = {key: held for key, held in self._sessions.items() if held != session}
            session = yield from self.opened(volume)
            answer = yield request(session)
        return answer

    def grounded(
        self, volume: Any, *, sentences: Sequence[str | Mapping[str, str]] | None = None, report: str | None = None
    ) -> Work:
        """Find sentences, or those of a report, in the scan: an `Answer`."""
        frame = frame_of(volume)
        answer = yield from self._asked(
            volume, lambda session: wire.ground(session, sentences=sentences, report=report)
        )
        return _answer_of(answer, "ground", "sentences", frame)

    def findings(self, volume: Any) -> Work:
        """Score the findings that the weights know: an `Answer`."""
        frame = frame_of(volume)
        answer = yield from self._asked(volume, wire.findings)
        return _answer_of(answer, "findings", "findings", frame)

    def at(self, volume: Any, world_ras_mm: Point, sentences: Sequence[Mapping[str, str]]) -> Work:
        """Rank sentences for a point of the world: the document `simcrop.at/1` (docs/serve.md)."""
        point = local_point(volume, world_ras_mm)
        answer = yield from self._asked(volume, lambda session: wire.at(session, point, sentences=sentences))
        return _checked(answer, "at")

    def segmented(self, volume: Any, task: str) -> Work:
        """Label the scan: a `Segmented`."""
        answer = yield from self._asked(volume, lambda session: wire.segment(session, task))
        document = _checked(answer, "segment")
        labels = answer.arrays["labels"]
        if labels.shape != voxels_of(volume).shape:
            raise BrokenAnswer("The label map is not on the grid of the volume.", hint="Choose the volume again.")
        names = {int(value): name for value, name in document["labels"].items()}
        return Segmented(labels, names, document["volume_ml"], document["weights"])

    def exported(self, volume: Any, *, report: str) -> Work:
        """Everything that `simcrop ground` writes about a report: the bytes of a zip."""
        answer = yield from self._asked(volume, lambda session: wire.export(session, report=report))
        return answer.arrays["zip"].tobytes()

    @property
    def holds_gone(self) -> bool:
        """Whether the engine may hold a volume that has left its scene."""
        return any(_is_gone(volume.Get()) for volume in self._volumes.values())

    def gone_closed(self) -> Work:
        """Close the sessions of volumes that have left their scene, so that the engine keeps none of them."""
        for key in [key for key, volume in self._volumes.items() if _is_gone(volume.Get())]:
            # One that is still being opened is closed when it is there.
            if key in self._opening:
                continue
            if key in self._sessions:
                with contextlib.suppress(UnknownSession):
                    yield wire.close_session(self._sessions[key])
            self._sessions.pop(key, None)
            self._volumes.pop(key, None)
            if self._latest.get(key.node_id) == key:
                self._latest.pop(key.node_id)

    def heartbeats(self) -> Work:
        """Renew the sessions of volumes as they are now; those of earlier voxels and frames end with their leases."""
        yield from self.gone_closed()
        for key, session in list(self._sessions.items()):
            if self._latest.get(key.node_id) != key:
                continue
            try:
                yield wire.heartbeat(session)
            except UnknownSession:
                self._sessions.pop(key, None)


def _is_gone(volume: Any) -> bool:
    return volume is None or volume.GetScene() is None


def _checked(answer: wire.ResultEvent, kind: str) -> dict[str, Any]:
    if answer.document.get("schema") != _SCHEMAS[kind]:
        raise BrokenAnswer(
            f"The engine answers in the form {answer.document.get('schema')}; this panel reads {_SCHEMAS[kind]}.",
            hint="Use an engine of the same version.",
        )
    return answer.document


def _answer_of(answer: wire.ResultEvent, kind: str, rows: str, frame: Frame | None) -> Answer:
    document = _checked(answer, kind)
    places = {entry["index"]: entry for entry in document.get("heatmaps", ())}
    found = []
    for i, result in enumerate(document[rows]):
        place = places.get(i)
        if place is None:
            found.append(Found(result))
        else:
            scores = np.asarray(answer.arrays[place["array"]], dtype=np.float32)
            found.append(Found(result, scores, np.array(place["affine"], dtype=np.float64)))
    scale = document["colour_scale"]
    return Answer(
        found,
        (scale["low"], scale["high"]),
        document["weights"],
        document["warnings"],
        document["passport"],
        frame,
    )
