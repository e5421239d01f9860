"""Routes about one scan: sending it, a session on it, and what is asked of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from simcrop_core.errors import BadRequest
from simcrop_core.imaging.overview import volume_info
from simcrop_core.inference.session import Session
from simcrop_core.serve import bodies
from simcrop_core.serve.ask import FRAMES, Frames, Owner, TheLease, TheService, streamed
from simcrop_core.serve.content_id import content_id
from simcrop_core.serve.frames import CONTENT_TYPE
from simcrop_core.serve.receive import receive_volume
from simcrop_core.serve.running import Outcome, Running
from simcrop_core.serve.service import Service
from simcrop_core.serve.store import Lease

router = APIRouter(tags=["scan"])


@router.post(
    "/volumes",
    openapi_extra={"requestBody": {"required": True, "content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}},
)
async def upload(request: Request, service: TheService, owner: Owner) -> bodies.Uploaded:
    """Send a volume: the array `voxels`, announced with its `affine` and a `title`."""
    content, volume, passport = await receive_volume(
        request.stream(), service.store, most_bytes=service.settings.upload_bytes
    )
    service.store.add(owner, content, volume, passport)
    return bodies.Uploaded(volume=content, shape=volume.shape, passport=passport)


@router.post("/sessions", response_class=Frames, responses=FRAMES)
async def open_session(body: bodies.Open, request: Request, service: TheService, owner: Owner) -> Frames:
    """Open a session on a volume that was sent, or on a file that the server reads."""
    lease_s = min(body.lease_s or service.settings.lease_s, service.settings.longest_lease_s)
    if (body.volume is None) == (body.path is None):
        raise BadRequest("A session is opened on a volume or on a path.", hint="Give one of the two.")

    def opened(content: str) -> Outcome:
        lease = service.store.open(owner, content, force=body.force, lease_s=lease_s)
        return Outcome(_state(lease).model_dump())

    if body.volume is not None:
        # Faults of a volume that is not there come with their HTTP status, not in a stream.
        outcome = opened(body.volume)
        return streamed(request, _at_once(outcome), queued=False)
    if not service.settings.local:
        raise BadRequest("This server opens no files by path.", hint="Send the volume instead.")
    return streamed(request, _from_path(service, owner, body, opened), queued=False)


def _at_once(outcome: Outcome) -> Any:
    async def work(_: Running) -> Outcome:
        return outcome

    return work


def _from_path(service: Service, owner: str, body: bodies.Open, opened: Any) -> Any:
    assert body.path is not None, "a path was given"
    path = Path(body.path)

    async def work(running: Running) -> Outcome:
        scan = await asyncio.to_thread(
            Session.open,
            path,
            service.engine,
            series=body.series,
            frame=body.frame,
            force=body.force,
            job=running.job,
        )
        content = await asyncio.to_thread(content_id, scan.volume.voxels, scan.volume.affine)
        size = scan.volume.voxels.nbytes
        service.store.reserve(size)
        try:
            service.store.add(owner, content, scan.volume, scan.passport)
        finally:
            service.store.release(size)
        result: Outcome = opened(content)
        return result

    return work


def _state(lease: Lease) -> bodies.SessionState:
    return bodies.SessionState(
        session=lease.id,
        volume_id=lease.held.content,
        volume=volume_info(lease.held.volume),
        passport=lease.held.passport,
        encoded=lease.scan.encoded,
        lease_s=lease.lease_s,
    )


@router.get("/sessions/{session}")
async def session_state(lease: TheLease) -> bodies.SessionState:
    """What there is of a session."""
    return _state(lease)


@router.post("/sessions/{session}/heartbeat")
async def heartbeat(lease: TheLease) -> bodies.SessionState:
    """Renew the lease."""
    return _state(lease)


@router.delete("/sessions/{session}")
async def close_session(lease: TheLease, service: TheService) -> bodies.Nothing:
    """End the session and free everything of it."""
    service.close_session(lease)
    return bodies.Nothing()


@router.post("/sessions/{session}/check", response_class=Frames, responses=FRAMES)
async def check(request: Request, lease: TheLease, service: TheService) -> Frames:
    """What the header checks found, and what of the scan the model sees."""
    return streamed(request, lambda running: service.check(running, lease), lease)


@router.post("/sessions/{session}/encode", response_class=Frames, responses=FRAMES)
async def encode(request: Request, lease: TheLease, service: TheService) -> Frames:
    """Encode the scan now."""
    return streamed(request, lambda running: service.encode(running, lease), lease)


@router.post("/sessions/{session}/ground", response_class=Frames, responses=FRAMES)
async def ground(body: bodies.Ground, request: Request, lease: TheLease, service: TheService) -> Frames:
    """Find sentences in the scan; heatmaps are the arrays `heatmap-0`, `heatmap-1` and so on."""
    statements = body.statements()
    return streamed(request, lambda running: service.ground(running, lease, statements, heatmaps=body.heatmaps), lease)


@router.post("/sessions/{session}/at", response_class=Frames, responses=FRAMES)
async def at(body: bodies.At, request: Request, lease: TheLease, service: TheService) -> Frames:
    """Rank sentences by how well they fit the place at a point."""
    statements, (r, a, s) = body.statements(), body.point_ras_mm
    return streamed(request, lambda running: service.at(running, lease, statements, (r, a, s)), lease)


@router.post("/sessions/{session}/segment", response_class=Frames, responses=FRAMES)
async def segment(body: bodies.Segment, request: Request, lease: TheLease, service: TheService) -> Frames:
    """Label the scan; the array is `labels`, uint8, on the scan's own grid."""
    return streamed(request, lambda running: service.segment(running, lease, body.task), lease)


@router.post("/sessions/{session}/findings", response_class=Frames, responses=FRAMES)
async def findings(body: bodies.Findings, request: Request, lease: TheLease, service: TheService) -> Frames:
    """Score the 18 CT-RATE labels: uncalibrated scores."""
    return streamed(request, lambda running: service.findings(running, lease, heatmaps=body.heatmaps), lease)


@router.post("/sessions/{session}/export", response_class=Frames, responses=FRAMES)
async def export(body: bodies.Export, request: Request, lease: TheLease, service: TheService) -> Frames:
    """What `simcrop ground` writes, as the bytes of a zip in the array `zip`."""
    statements = body.statements()

    async def work(running: Running) -> Outcome:
        return await service.export(
            running, lease, statements, full_resolution=body.full_resolution, draw_absent=body.draw_absent
        )

    return streamed(request, work, lease)
