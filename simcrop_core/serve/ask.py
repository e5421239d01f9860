"""What every route needs of its request: the service, who asks, the session, and the streamed answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from simcrop_core.errors import BadRequest
from simcrop_core.serve.frames import CONTENT_TYPE
from simcrop_core.serve.running import Outcome, Running
from simcrop_core.serve.service import Service
from simcrop_core.serve.store import Lease
from simcrop_core.serve.wire import new_id

REQUEST_ID = re.compile(r"[0-9A-Za-z-]{8,64}")

Work = Callable[[Running], Awaitable[Outcome]]


FRAMES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Frames (docs/serve.md)",
        "content": {CONTENT_TYPE: {"schema": {"type": "string"}}},
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
    }
}


class Frames(StreamingResponse):
    """A streamed answer: progress, arrays, then the result or a fault."""

    media_type = CONTENT_TYPE


class _Answer(Frames):
    """The frames of one admitted request."""

    def __init__(self, service: Service, running: Running, work: Work, lease: Lease | None) -> None:
        self._frames = service.answer(running, work, lease)
        self._forget = partial(service.forget, running)
        super().__init__(self._frames, headers={"X-Request-Id": running.id})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; however that ends, the work ends with it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._frames.aclose()
            self._forget()


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service = request.app.state.service
    assert isinstance(service, Service), "the application was made with one"
    return service


def owner_of(request: Request) -> str:
    """Who asks, as the gate found from the token."""
    return str(request.state.owner)


TheService = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(owner_of)]


def lease_of(session: str, service: TheService, owner: Owner) -> Lease:
    """The session in the path, if it is the asker's."""
    return service.store.lease(owner, session)


TheLease = Annotated[Lease, Depends(lease_of)]


def streamed(request: Request, work: Work, lease: Lease | None = None, *, queued: bool = True) -> Frames:
    """Admit the work and answer with its frames.

    Args:
        request: of HTTP.
        work: what to do.
        lease: the session that it is about.
        queued: it takes a place in the queue.

    Raises:
        ServerBusy: too much is at work or waiting.
        BadRequest: the request's id is in use, or none.
    """
    service = service_of(request)
    request_id = request.headers.get("x-request-id", "") or new_id()
    if not REQUEST_ID.fullmatch(request_id):
        raise BadRequest("X-Request-Id is no id.", hint="Give 8 to 64 letters and digits, or none.")
    session = "" if lease is None else lease.id
    running = service.admit(owner_of(request), request_id, queued=queued, session=session)
    return _Answer(service, running, work, lease)
