"""Who is let in, and how much may be sent: before any body is read."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from simcrop_core.errors import NotAuthorised, SimCroPError, TooLarge
from simcrop_core.serve.faults import document_of, status_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_LONGEST_JSON = 8 << 20
# Packed bytes can be a little longer than what they unpack to.
_PACKING_MARGIN = 1.1
_LINGER_S = 5.0


class Gate:
    """ASGI middleware: the bearer token, then the size of the body.

    The token's owner is left in the scope's state as `owner`.

    Args:
        app: behind it.
        tokens: that are let in.
        open_paths: what needs no token.
        upload_paths: whose bodies may be as long as a volume.
        upload_bytes: of a volume, unpacked.
    """

    def __init__(
        self, app: App, *, tokens: tuple[str, ...], open_paths: set[str], upload_paths: set[str], upload_bytes: int
    ) -> None:
        self._app = app
        self._tokens = [token.encode() for token in tokens]
        self._open_paths = open_paths
        self._upload_paths = upload_paths
        self._upload_bytes = int(upload_bytes * _PACKING_MARGIN)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        body = _Body(receive, send)
        try:
            if scope["path"] not in self._open_paths:
                scope.setdefault("state", {})["owner"] = self._owner(headers.get(b"authorization", b""))
            most = self._upload_bytes if scope["path"] in self._upload_paths else _LONGEST_JSON
            if int(headers.get(b"content-length", b"0") or 0) > most:
                raise too_large(most)
        except SimCroPError as fault:
            await _refuse(body.send, fault)
            return
        body.most = most
        await self._app(scope, body.receive, body.send)

    def _owner(self, authorization: bytes) -> str:
        """Who holds the token; every token is compared, each in constant time."""
        kind, _, given = authorization.partition(b" ")
        matches = [hmac.compare_digest(given.strip(), token) for token in self._tokens]
        if kind.lower() != b"bearer" or not any(matches):
            raise NotAuthorised(
                "The server does not know this token.", hint="Give the token that the server was started with."
            )
        return hashlib.sha256(self._tokens[matches.index(True)]).hexdigest()[:16]


def too_large(most: int) -> TooLarge:
    """A body of more than so many bytes."""
    return TooLarge(f"The request is longer than {most / 2**20:.0f} MiB.", hint="Crop the volume, or ask for less.")


class _Body:
    """The body of one request, counted as it comes, and the answer that may be ready before the body is whole."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.most: int | None = None
        self._receive = receive
        self._send = send
        self._taken = 0
        self._ended = False

    async def receive(self) -> Message:
        """The next piece.

        Raises:
            TooLarge: the body is longer than it may be.
        """
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        self._taken += len(message.get("body", b""))
        if self.most is not None and self._taken > self.most:
            raise too_large(self.most)
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer.

        To close the connection while the client still sends would destroy the answer on its way. So the end of an
        early answer waits for the client to see it and stop.
        """
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and not self._ended:
            await self._send({**message, "more_body": True})
            self.most = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rest(), _LINGER_S)
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _rest(self) -> None:
        while not self._ended:
            await self.receive()


async def _refuse(send: Send, fault: SimCroPError) -> None:
    body = json.dumps(document_of(fault)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if isinstance(fault, NotAuthorised):
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status_of(fault), "headers": headers})
    await send({"type": "http.response.body", "body": body})
