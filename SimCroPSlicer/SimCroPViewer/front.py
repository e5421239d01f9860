"""The address that a browser opens: the token, a session for each tab, and the engine that they share."""

from __future__ import annotations

import asyncio
import hmac
import html
import secrets
import ssl
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web

from SimCroPViewer.engine_process import Engine
from SimCroPViewer.options import SessionOptions, ViewOptions
from SimCroPViewer.proxy import pass_on, pass_stream
from SimCroPViewer.sessions import SessionProcess

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_SESSIONS = 16
_LONGEST_POLL_S = 25.0
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SimCroP</title>{head}
<style>body{{font:16px sans-serif;background:#121212;color:#eee;display:grid;place-items:center;height:90vh}}
main{{max-width:40em;padding:1em}}pre{{white-space:pre-wrap;color:#aaa;font-size:12px}}</style></head>
<body><main role="status">{body}</main></body></html>"""


class Front:
    """Lets browsers in and joins each with its session.

    Args:
        options: of the page.
        engine: that the sessions share.
        cafile: for sessions that talk to a server elsewhere.
        here: whether the engine is on this machine.
        paths: whether sessions may open files by path.
    """

    def __init__(self, options: ViewOptions, engine: Engine, *, cafile: str, here: bool, paths: bool) -> None:
        self._options = options
        self._engine = engine
        self._cafile, self._here, self._paths = cafile, here, paths
        self._sessions: dict[str, SessionProcess] = {}
        self._spare: SessionProcess | None = None
        self._client: aiohttp.ClientSession | None = None
        self._keeper = ""
        self._keeper_secret = secrets.token_urlsafe(32)
        self._runners: list[web.AppRunner] = []

    async def start(self) -> int:
        """Listen; the port."""
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False)
        door = web.Application()
        door.add_routes([web.get("/engine", self._engine_state), web.post("/engine/{what}", self._engine_told)])
        self._keeper = f"http://127.0.0.1:{await self._listen(door, '127.0.0.1', 0, None)}"
        pages = web.Application(client_max_size=0)
        pages.add_routes([web.get("/", self._enter), web.route("*", "/s/{id}/{what:.*}", self._of_session)])
        port = await self._listen(pages, self._options.host, self._options.port, self._tls())
        # The first tab finds its session begun already.
        self._spare = await self._new_session()
        await self._engine.start()
        return port

    async def stop(self) -> None:
        """End every session and the engine."""
        await asyncio.gather(*(session.stop() for session in list(self._sessions.values())), self._engine.stop())
        for runner in self._runners:
            await runner.cleanup()
        if self._client is not None:
            await self._client.close()

    async def _listen(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        self._runners.append(runner)
        return int(runner.addresses[0][1])

    def _tls(self) -> ssl.SSLContext | None:
        if not self._options.certificate:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._options.certificate, self._options.key)
        return context

    async def _new_session(self) -> SessionProcess:
        options = SessionOptions(
            secret=secrets.token_urlsafe(24),
            keeper=self._keeper,
            keeper_secret=self._keeper_secret,
            cafile=self._cafile,
            here=self._here,
            paths=self._paths,
            scan=self._options.scan,
            series=self._options.series,
            frame=self._options.frame,
            report=self._options.report,
            keep_s=self._options.keep_s,
        )
        session = SessionProcess(options, self._session_ended)
        self._sessions[session.id] = session
        await session.start()
        return session

    def _session_ended(self, session: SessionProcess) -> None:
        if not session.failed:
            self._sessions.pop(session.id, None)
        if session is self._spare:
            self._spare = None

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """A tab that shows the token gets a session of its own."""
        given = request.query.get("token", "").encode()
        if not hmac.compare_digest(given, self._options.token.encode()):
            body = "<p>This address needs its token: open the whole line that <code>simcrop view</code> printed.</p>"
            return _page(body, status=403)
        session, self._spare = self._spare, None
        if session is None:
            if len(self._sessions) >= MOST_SESSIONS:
                return _page(f"<p>{MOST_SESSIONS} tabs are open: close one, and wait.</p>", status=503)
            session = await self._new_session()
        raise web.HTTPSeeOther(f"/s/{session.id}/")

    async def _of_session(self, request: web.Request) -> web.StreamResponse:
        session = self._sessions.get(request.match_info["id"])
        if session is None:
            return _page("<p>This session has ended. Open the address of <code>simcrop view</code> again.</p>", 404)
        if session.failed:
            log = html.escape("\n".join(session.log))
            return _page(f"<p>The viewer could not be started.</p><pre>{log}</pre>", 500)
        if session.port is None:
            return _page("<p>Opening the viewer…</p>", head='<meta http-equiv="refresh" content="0.7">')
        what = request.match_info["what"]
        assert self._client is not None
        address = f"127.0.0.1:{session.port}/{what}"
        try:
            if what == "ws":
                return await pass_stream(request, self._client, f"ws://{address}")
            if what in ("", "index.html") and "secret" not in request.query:
                stream = f"ws://use_host/s/{session.id}/ws"
                raise web.HTTPSeeOther(f"/s/{session.id}/index.html?secret={session.secret}&sessionURL={stream}")
            query = f"?{request.query_string}" if request.query_string else ""
            return await pass_on(request, self._client, f"http://{address}{query}", session.secret)
        except aiohttp.ClientConnectionError:
            return _page("<p>The session does not answer: load the page again.</p>", 502)

    def _known(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, self._keeper_secret.encode()):
            raise web.HTTPForbidden

    async def _engine_state(self, request: web.Request) -> web.Response:
        self._known(request)
        return web.json_response(await self._engine.changed(int(request.query.get("after", "-1")), _LONGEST_POLL_S))

    async def _engine_told(self, request: web.Request) -> web.Response:
        self._known(request)
        if request.match_info["what"] == "restart":
            await self._engine.stop()
        await self._engine.start()
        return web.json_response({})


def _page(body: str, status: int = 200, head: str = "") -> web.Response:
    text = _PAGE.format(head=head, body=body)
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
