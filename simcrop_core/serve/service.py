"""The work behind the requests: one engine, its lanes, and what they are asked."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from simcrop_core.errors import BadRequest, ServerBusy, SimCroPError
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.inference.engine import Engine, finding_texts
from simcrop_core.inference.segmentation import import_sliding_windows
from simcrop_core.inference.session import Grounded
from simcrop_core.progress import Job
from simcrop_core.results import as_json
from simcrop_core.serve.embedding import TOGETHER, Embedding
from simcrop_core.serve.faults import named
from simcrop_core.serve.lanes import Lane
from simcrop_core.serve.running import Outcome, Running
from simcrop_core.serve.settings import Settings
from simcrop_core.serve.store import Lease, Store
from simcrop_core.serve.work_folder import WorkFolder, zipped
from simcrop_core.text.report import Statement

# A report's sentences go through the text encoder this many at a time: a typed one waits for no more than these.
_EMBEDDED_AT_ONCE = TOGETHER
_EMBEDDED_IN_PASSING = 2
# Longer work lets shorter pass before each of its steps, but always comes on.
_YIELD_TO_SENTENCES_S = 0.5
_YIELD_TO_ENCODINGS_S = 10.0
_SWEEP_S = 0.25


class Service:
    """Everything a server does, apart from HTTP. Its methods are for the event loop's thread.

    Args:
        settings: weights, device and limits.

    Raises:
        UnknownWeights: there are no such weights.
        DeviceUnavailable: the machine has no such device.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = Engine(settings.weights, settings.device)
        self.store = Store(self.engine, settings.memory_limit, time.monotonic)
        self.work_folder = WorkFolder()
        self.requests: dict[tuple[str, str], Running] = {}
        self._leases_of_running: dict[Running, Lease] = {}
        self.fault: SimCroPError | None = None
        self._segmentations = Lane("segmentations")
        self._encodings = Lane("encodings")
        self._sentences = Lane("sentences")
        self._exports = Lane("exports")
        self._embedding = Embedding(self._sentences, self.engine.remember)
        self._loaded = asyncio.Event()
        self._warm: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def status(self) -> Literal["warming up", "ready", "failed"]:
        """Whether the engine can be used: "warming up", "ready" or "failed"."""
        if self.fault is not None:
            return "failed"
        return "ready" if self._loaded.is_set() else "warming up"

    def start(self) -> None:
        """Load the models, and begin to end what is over."""
        self.work_folder.open()
        self._warm = asyncio.create_task(self._warm_up())
        self._sweeper = asyncio.create_task(self._sweep())

    def stop_requests(self) -> None:
        """Cancel everything at work; their answers say so."""
        for running in list(self.requests.values()):
            running.cancel()

    def close(self) -> None:
        """Stop everything and remove what is on the disk."""
        self.stop_requests()
        for task in (self._warm, self._sweeper):
            if task is not None:
                task.cancel()
        for lane in (self._segmentations, self._encodings, self._sentences, self._exports):
            lane.close()
        self.work_folder.remove()

    async def warm(self) -> None:
        """Wait until the models are loaded.

        Raises:
            SimCroPError: they could not be.
        """
        await self._loaded.wait()
        if self.fault is not None:
            raise self.fault

    async def _warm_up(self) -> None:
        # Both lanes' models are loaded in one thread, before either is used: so none is ever loaded twice.
        (fault,) = await asyncio.gather(self._encodings.run("", self.engine.warm_up), return_exceptions=True)
        self.fault = None if fault is None else named(fault)
        self._loaded.set()
        if fault is not None:
            return
        # What only some questions need is fetched now, in steps so small that nobody waits for them.
        await self._exports.run("", import_sliding_windows)
        texts = finding_texts()
        for start in range(0, len(texts), _EMBEDDED_IN_PASSING):
            part = texts[start : start + _EMBEDDED_IN_PASSING]
            await self._sentences.run("", partial(self.engine.remember, part))
        await self._sentences.run("", lambda: self.engine.finding_embeddings)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.store.sweep()

    def admit(self, owner: str, request_id: str, *, queued: bool = True, session: str = "") -> Running:
        """Take a request in.

        Args:
            owner: of whose token it is.
            request_id: of the request.
            queued: it takes a place in the queue: not what only looks or opens, and asks no lane.
            session: that it is about; one with nothing at work may take a spare place.

        Raises:
            ServerBusy: too many are at work or waiting.
            BadRequest: its id is in use.
        """
        waiting = [running for running in self.requests.values() if running.queued]
        own = sum(running.owner == owner for running in waiting)
        idle = not any(running.session == session for running in waiting)
        places = self.settings.queue + (self.settings.spare if idle else 0)
        if queued and (len(waiting) >= places or own >= self.settings.queue_of_one + places - self.settings.queue):
            raise ServerBusy(
                f"The server has {len(waiting)} requests at work or waiting and takes no more.",
                hint="Ask again in a moment.",
            )
        if (owner, request_id) in self.requests:
            raise BadRequest("A request with this id is at work.", hint="Give every request an id of its own.")
        running = Running(owner, request_id, queued=queued, session=session)
        self.requests[owner, request_id] = running
        return running

    def close_session(self, lease: Lease) -> None:
        """End a session, and what is at work for it."""
        for running, of in list(self._leases_of_running.items()):
            if of is lease:
                running.cancel()
        self.store.close(lease)

    async def answer(
        self, running: Running, work: Callable[[Running], Awaitable[Outcome]], lease: Lease | None = None
    ) -> AsyncGenerator[bytes]:
        """Do what was admitted, and give the frames of the answer; its session lives at least as long."""
        with self._busy(running, lease):
            async with aclosing(running.frames(work)) as frames:
                async for piece in frames:
                    yield piece

    def forget(self, running: Running) -> None:
        """The answer of a request is over, whole or not."""
        running.cancel()
        self.requests.pop((running.owner, running.id), None)

    @contextmanager
    def _busy(self, running: Running, lease: Lease | None) -> Iterator[None]:
        if lease is None:
            yield
            return
        lease.busy += 1
        lease.held.busy += 1
        self._leases_of_running[running] = lease
        try:
            yield
        finally:
            del self._leases_of_running[running]
            lease.busy -= 1
            lease.held.busy -= 1
            self.store.touch(lease)

    def cancel(self, owner: str, request_id: str) -> bool:
        """Cancel a request of the same owner; False where there is none."""
        running = self.requests.get((owner, request_id))
        if running is not None:
            running.cancel()
        return running is not None

    async def encode(self, running: Running, lease: Lease) -> Outcome:
        """Encode the scan."""
        await self._encoded(running, lease)
        return Outcome({"encoded": True})

    async def ground(
        self, running: Running, lease: Lease, statements: Sequence[Statement], *, heatmaps: bool
    ) -> Outcome:
        """Find sentences in the scan (docs/results.md)."""
        grounded = await self._grounded(running, lease, statements)
        return self._with_heatmaps(as_json(grounded.result), grounded.heatmaps if heatmaps else [])

    async def at(
        self, running: Running, lease: Lease, statements: Sequence[Statement], point: tuple[float, float, float]
    ) -> Outcome:
        """Rank sentences for a point."""
        await self._embedded(running, lease, statements)
        ranked = await self._sentences.run(lease.id, lambda: lease.scan.at(point, statements, running.job))
        return Outcome(as_json(ranked))

    async def findings(self, running: Running, lease: Lease, *, heatmaps: bool) -> Outcome:
        """Score the labels of CT-RATE (docs/findings.md)."""
        await self._encoded(running, lease)
        found = await self._sentences.run(lease.id, lambda: lease.scan.findings(running.job))
        return self._with_heatmaps(as_json(found.result), found.heatmaps if heatmaps else [])

    async def check(self, running: Running, lease: Lease) -> Outcome:
        """What the passport says, and what the model sees."""
        await self._encoded(running, lease)
        scan = lease.scan
        low, high = scan.frame.box_ras_mm
        return Outcome(
            {
                "passport": [dataclasses.asdict(finding) for finding in [*scan.passport, *scan.chest_findings]],
                "warnings": list(scan.warnings),
                "lungs_found": scan.frame.lungs is not None,
                "frame": {"box_ras_mm": [list(low), list(high)], "tiles": len(scan.frame.offsets)},
            }
        )

    async def segment(self, running: Running, lease: Lease, task: str) -> Outcome:
        """Label the scan; the array is `labels`, on the scan's own grid."""
        await self.warm()
        passing = ((self._encodings, _YIELD_TO_ENCODINGS_S), (self._sentences, _YIELD_TO_SENTENCES_S))
        job = _Yielding(running.job, passing)
        labels = await self._segmentations.run(lease.id, lambda: lease.scan.segment(task, job))
        result = await asyncio.to_thread(lease.scan.segment_result, labels, Path("labels"))
        return Outcome({**as_json(result), "affine": labels.affine.tolist()}, {"labels": labels.voxels})

    async def export(
        self,
        running: Running,
        lease: Lease,
        statements: Sequence[Statement],
        *,
        full_resolution: bool,
        draw_absent: bool,
    ) -> Outcome:
        """Everything that `simcrop ground` writes, zipped; nothing of it stays on the server."""
        from simcrop_core.export.folder import write_grounding

        grounded = await self._grounded(running, lease, statements)

        def write() -> Any:
            with self.work_folder.one() as folder:
                write_grounding(
                    folder,
                    lease.scan.volume,
                    grounded.result,
                    grounded.heatmaps,
                    self.engine.colour_scale,
                    full_resolution=full_resolution,
                    draw_absent=draw_absent,
                    job=running.job,
                )
                return zipped(folder)

        archive = await self._exports.run(lease.id, write)
        return Outcome(as_json(grounded.result), {"zip": archive})

    async def _grounded(self, running: Running, lease: Lease, statements: Sequence[Statement]) -> Grounded:
        await self._embedded(running, lease, statements)
        return await self._sentences.run(lease.id, lambda: lease.scan.ground(statements, running.job))

    async def _encoded(self, running: Running, lease: Lease) -> None:
        """The scan's features: in the lane of the encodings, unless they are there."""
        await self.warm()
        if not lease.scan.encoded:
            job = _Yielding(running.job, ((self._sentences, _YIELD_TO_SENTENCES_S),))
            await self._encodings.run(lease.id, lambda: lease.scan.encode(job))

    async def _embedded(self, running: Running, lease: Lease, statements: Sequence[Statement]) -> None:
        """The scan's features, and the sentences' embeddings in the encoder's memory."""
        await self._encoded(running, lease)
        texts = [statement.grounding_text for statement in statements]
        if len(texts) == 1:
            await self._embedding.read(lease.id, texts[0])
            return
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            part = texts[start : start + _EMBEDDED_AT_ONCE]
            if len(texts) > _EMBEDDED_AT_ONCE:
                running.job.step("Reading the sentences", start, len(texts))
                await self._sentences.run(lease.id, partial(self.engine.remember, part))

    def _with_heatmaps(self, document: dict[str, Any], heatmaps: Sequence[Heatmap | None]) -> Outcome:
        """The result, and each heatmap as an array with its place and its colours."""
        shown = {f"heatmap-{i}": (i, heatmap) for i, heatmap in enumerate(heatmaps) if heatmap is not None}
        document["colour_scale"] = dataclasses.asdict(self.engine.colour_scale)
        document["heatmaps"] = [
            {"array": name, "index": i, "text": heatmap.text, "affine": heatmap.affine.tolist()}
            for name, (i, heatmap) in shown.items()
        ]
        return Outcome(document, {name: heatmap.scores for name, (_, heatmap) in shown.items()})


class _Yielding(Job):
    """A job that waits before every step, so long at most, until lanes with shorter work are idle."""

    def __init__(self, job: Job, passing: Sequence[tuple[Lane, float]]) -> None:
        super().__init__()
        self._job = job
        self._passing = passing

    def step(self, stage: str, done: int, total: int) -> None:
        """Report a step to the job itself, and let the others pass."""
        self._job.step(stage, done, total)
        for lane, timeout_s in self._passing:
            lane.wait_until_idle(timeout_s)
