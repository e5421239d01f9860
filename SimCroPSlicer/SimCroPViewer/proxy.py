"""What a browser asks of its session, passed on: requests, answers, and the stream of pictures."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import aiohttp
from aiohttp import web

# Of one hop only, or made anew on each side.
_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length", "te", "trailer"}
)
_NEVER_SENT = frozenset({*_HOP, "accept-encoding"})
_CHUNK = 1 << 18
SECRET_HEADER = "X-SimCroP-Session"


async def pass_on(request: web.Request, client: aiohttp.ClientSession, address: str, secret: str) -> web.StreamResponse:
    """Ask a session on this machine what the browser asked, and give its answer.

    Args:
        request: of the browser.
        client: to ask with.
        address: of the session and what is asked of it, with the query.
        secret: of the session.
    """
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _NEVER_SENT}
    headers[SECRET_HEADER] = secret
    length = request.headers.get("Content-Length")
    if length is not None:
        headers["Content-Length"] = length
    body = request.content if request.body_exists else None
    async with client.request(request.method, address, headers=headers, data=body, allow_redirects=False) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        passed = web.StreamResponse(status=answer.status, headers={**kept, "Referrer-Policy": "no-referrer"})
        passed.content_length = answer.content_length
        await passed.prepare(request)
        async for chunk in answer.content.iter_chunked(_CHUNK):
            await passed.write(chunk)
        await passed.write_eof()
    return passed


async def pass_stream(request: web.Request, client: aiohttp.ClientSession, address: str) -> web.WebSocketResponse:
    """Join the browser's stream with the session's until one of them ends.

    Args:
        request: of the browser.
        client: to connect with.
        address: of the session's stream.
    """
    browser = web.WebSocketResponse(max_msg_size=0, compress=False)
    await browser.prepare(request)
    async with client.ws_connect(address, max_msg_size=0, compress=0) as session:
        ways = [asyncio.create_task(_pump(browser, session)), asyncio.create_task(_pump(session, browser))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    await browser.close()
    return browser


Stream: TypeAlias = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: Stream, target: Stream) -> None:
    async for message in source:
        if message.type == aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type == aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
