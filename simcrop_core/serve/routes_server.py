"""Routes about the server itself: is it up, what can it do, stop that, and parsing, which needs no scan."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import platform
from pathlib import Path
from typing import Any

import psutil
import torch
from fastapi import APIRouter, Request

from simcrop_core import __version__
from simcrop_core.errors import BadRequest
from simcrop_core.models.describe import describe_weights
from simcrop_core.models.registry import list_weights
from simcrop_core.models.structures import numbered
from simcrop_core.serve import bodies
from simcrop_core.serve.ask import FRAMES, Frames, Owner, TheService, streamed
from simcrop_core.serve.frames import codings_here
from simcrop_core.serve.running import Outcome, Running
from simcrop_core.serve.service import Service
from simcrop_core.serve.wire import PROTOCOL

router = APIRouter(tags=["server"])


@router.get("/health")
async def health(service: TheService) -> bodies.Health:
    """Whether the server can be used. Needs no token."""
    return bodies.Health(status=service.status, protocol=PROTOCOL, version=__version__)


@router.get("/capabilities", response_class=Frames, responses=FRAMES)
async def capabilities(request: Request, service: TheService) -> Frames:
    """Versions, pid, device, weights, tasks and limits, as soon as the models are loaded."""

    async def work(_: Running) -> Outcome:
        await service.warm()
        return Outcome(_capabilities(service))

    return streamed(request, work, queued=False)


def _capabilities(service: Service) -> dict[str, Any]:
    engine, settings = service.engine, service.settings
    can_segment = engine.folder.segmentation is not None
    return {
        "protocol": PROTOCOL,
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pid": os.getpid(),
        "device": engine.device.type,
        "device_name": _device_name(engine.device),
        "local": settings.local,
        "weights": {
            "name": engine.folder.name,
            "grounding": dataclasses.asdict(engine.grounding_info()),
            "segmentation": dataclasses.asdict(engine.segmentation_info()) if can_segment else None,
        },
        "tasks": {task: {str(v): name for v, name in numbered(its).items()} for task, its in engine.tasks.items()},
        "colour_scale": dataclasses.asdict(engine.colour_scale),
        "thresholds": None if engine.thresholds is None else dataclasses.asdict(engine.thresholds),
        "codings": list(codings_here()),
        "limits": {
            "upload_bytes": settings.upload_bytes,
            "memory_bytes": settings.memory_limit,
            "queue": settings.queue,
            "queue_of_one": settings.queue_of_one,
            "lease_s": settings.lease_s,
            "longest_lease_s": settings.longest_lease_s,
            "sentences": bodies.MOST_SENTENCES,
            "report_characters": bodies.LONGEST_REPORT,
        },
        "memory": _memory(service),
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _memory(service: Service) -> dict[str, int]:
    """Bytes: of the process, of the scans that it holds, and on a GPU what is used and what there is."""
    memory = {"process_bytes": int(psutil.Process().memory_info().rss), "scans_bytes": service.store.memory_bytes}
    if service.engine.device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        memory |= {"device_bytes": total, "device_used_bytes": total - free}
    return memory


@router.get("/weights")
async def weights(service: TheService) -> dict[str, Any]:
    """Every set of weights that the server has, and which one is in use."""
    sets = await asyncio.to_thread(lambda: [dataclasses.asdict(describe_weights(folder)) for folder in list_weights()])
    for summary in sets:
        for part in ("grounding", "segmentation"):
            if summary[part] is not None:
                summary[part]["file"] = Path(summary[part]["file"]).name
        summary["text"] = None if summary["text"] is None else Path(summary["text"]).name
    return {"in_use": service.engine.folder.name, "weights": sets}


@router.post("/parse")
async def parse(body: bodies.Text) -> bodies.Parsed:
    """What sentences say, without a scan (docs/text.md)."""
    statements = await asyncio.to_thread(body.statements)
    return bodies.Parsed(statements=statements)


@router.post("/requests/{request_id}/cancel")
async def cancel(request_id: str, service: TheService, owner: Owner) -> bodies.Stopped:
    """Stop a request that is at work or waits."""
    return bodies.Stopped(cancelled=service.cancel(owner, request_id))


@router.post("/shutdown")
async def shutdown(request: Request, service: TheService) -> bodies.Nothing:
    """End a server that runs for one user of this machine."""
    if not service.settings.local:
        raise BadRequest("This server is not ended by its clients.", hint="End it on its own machine.")
    service.stop_requests()
    request.app.state.stop()
    return bodies.Nothing()
