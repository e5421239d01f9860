"""The HTTP face of the service: routes, and faults as answers (docs/serve.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from simcrop_core import __version__
from simcrop_core.errors import BadRequest, SimCroPError
from simcrop_core.serve.access import Gate
from simcrop_core.serve.ask import REQUEST_ID
from simcrop_core.serve.bodies import Fault
from simcrop_core.serve.faults import document_of, named, status_of
from simcrop_core.serve.frames import CONTENT_TYPE
from simcrop_core.serve.routes_scan import router as scan_routes
from simcrop_core.serve.routes_server import router as server_routes
from simcrop_core.serve.service import Service
from simcrop_core.serve.settings import Settings
from simcrop_core.serve.wire import PROTOCOL

_WORDS = {"schema": {"type": "string"}}
# What an answer's headers say, by its status.
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"headers": {"WWW-Authenticate": {"description": "Bearer", **_WORDS}}},
    429: {"headers": {"Retry-After": {"description": "seconds", **_WORDS}}},
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "By which the request can be cancelled; made up by the server where there is none.",
    "schema": {"type": "string", "pattern": f"^({REQUEST_ID.pattern})?$"},
}
_FAULTS = {
    400: "bad-request or broken-answer: the request makes no sense",
    401: "not-authorised: no token, or one that is not known",
    404: "unknown-session or unknown-volume: gone, or another token's",
    413: "too-large: beyond the server's limits",
    422: "the scan, the sentence or the weights are at fault (docs/passport.md)",
    429: "server-busy: the queue is full",
    500: "internal-fault: the server is at fault",
}


OPEN_PATHS = {f"/v{PROTOCOL}/health"}


def create_app(settings: Settings) -> FastAPI:
    """The server's application.

    Raises:
        UnknownWeights: there are no such weights.
        DeviceUnavailable: the machine has no such device.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    app = _routed(lifespan)
    app.state.service = service
    app.add_middleware(
        Gate,
        tokens=settings.tokens,
        open_paths=OPEN_PATHS,
        upload_paths={f"/v{PROTOCOL}/volumes"},
        upload_bytes=settings.upload_bytes,
    )
    return app


def openapi_document() -> str:
    """The OpenAPI description of the protocol, as docs/schema/serve.openapi.json holds it."""
    return json.dumps(_routed(None).openapi(), indent=2, ensure_ascii=False) + "\n"


def _routed(lifespan: Any) -> FastAPI:
    app = FastAPI(
        title="simcrop serve",
        version=__version__,
        description="Where in a chest CT is this sentence of its report? Research software, not a medical device.",
        openapi_url=f"/v{PROTOCOL}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={
            status: {"model": Fault, "description": words, **_HEADERS.get(status, {})}
            for status, words in _FAULTS.items()
        },
    )
    app.include_router(server_routes, prefix=f"/v{PROTOCOL}")
    app.include_router(scan_routes, prefix=f"/v{PROTOCOL}")
    app.add_exception_handler(SimCroPError, _answer_fault)
    app.add_exception_handler(RequestValidationError, _answer_misfit)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_fault)
    described = app.openapi
    app.openapi = lambda: _whole(described())  # type: ignore[method-assign]
    return app


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    """The description with what FastAPI does not see: the gate before the routes, and the form of streams."""
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            if CONTENT_TYPE in operation["responses"]["200"]["content"]:
                _describe_stream(operation)
    return document


def _describe_stream(operation: dict[str, Any]) -> None:
    """Its id, and its faults: FastAPI describes them in the form of the stream, but before it begins they are JSON."""
    parameters = operation.setdefault("parameters", [])
    if _REQUEST_ID not in parameters:
        parameters.append(_REQUEST_ID)
    for answer in operation["responses"].values():
        content = answer.get("content", {})
        if "$ref" in content.get(CONTENT_TYPE, {}).get("schema", {}):
            content["application/json"] = content.pop(CONTENT_TYPE)


async def _answer_fault(_: Request, fault: Exception) -> JSONResponse:
    known = named(fault)
    headers = {"Retry-After": "1"} if status_of(known) == 429 else None
    return JSONResponse(document_of(known), status_of(known), headers=headers)


async def _answer_misfit(_: Request, fault: Exception) -> JSONResponse:
    """What in the body does not fit: names of fields only, never what stood in them."""
    assert isinstance(fault, RequestValidationError)
    places = sorted({".".join(str(part) for part in error["loc"][:3]) for error in fault.errors()})
    misfit = BadRequest(
        f"The request does not fit: {', '.join(places)[:200]}.", hint="See docs/schema/serve.openapi.json."
    )
    return JSONResponse(document_of(misfit), 400)


async def _answer_http(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, HTTPException)
    if isinstance(fault.__cause__, SimCroPError):
        return await _answer_fault(request, fault.__cause__)
    misfit = BadRequest(f"There is nothing to ask here (HTTP {fault.status_code}).", hint="See docs/serve.md.")
    if fault.status_code == 405:
        return JSONResponse(document_of(misfit), 405, headers={"Allow": _methods_of(request.url.path) or "GET"})
    return JSONResponse(document_of(misfit), 404 if fault.status_code == 404 else 400)


def _methods_of(path: str) -> str:
    """What may be asked of a path: of all its routes, where Starlette tells of the first one only."""
    routes = [route for route in (*server_routes.routes, *scan_routes.routes) if isinstance(route, APIRoute)]
    found = [route for route in routes if route.path_regex.match(path.removeprefix(f"/v{PROTOCOL}"))]
    return ", ".join(sorted({method for route in found for method in route.methods or ()}))
