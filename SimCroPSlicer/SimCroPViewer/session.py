"""The process of one session: reads what it is told from standard input, says where it listens, serves its page."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from trame.app import get_server

from SimCroPViewer.app import Viewer
from SimCroPViewer.options import SessionOptions


def main() -> None:
    """Serve one session until its page has been closed for some time, or the front ends it."""
    options = SessionOptions.read(sys.stdin.readline())
    # trame reads the command line of whoever uses it.
    sys.argv = [sys.argv[0]]
    asyncio.run(_serve(options))


async def _serve(options: SessionOptions) -> None:
    server = get_server("simcrop-view", client_type="vue3")
    server.cli.set_defaults(authKey=options.secret)
    viewer = Viewer(server, options)

    @server.controller.add("on_server_bind")
    def bound(web_server: Any) -> None:
        web_server.app.add_routes(viewer.files.routes())

    @server.controller.add("on_server_ready")
    def ready(**_: Any) -> None:
        sys.stdout.write(json.dumps({"port": server.port}) + "\n")
        sys.stdout.flush()
        viewer.begin()

    await server.start(
        exec_mode="coroutine",
        host="127.0.0.1",
        port=0,
        open_browser=False,
        show_connection_info=False,
        timeout=options.keep_s,
    )


if __name__ == "__main__":
    main()
