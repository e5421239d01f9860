"""`simcrop view` as a process: listens, says where, opens the browser, and ends with everything that it began."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import webbrowser

from simcrop_core.errors import CannotListen
from SimCroPViewer.engine_process import LocalEngine, RemoteEngine
from SimCroPViewer.front import Front
from SimCroPViewer.options import EngineOptions, ViewOptions


def run(options: ViewOptions, engine: EngineOptions, *, loopback: bool) -> None:
    """Show the page until the process is told to stop.

    When it listens it prints one line to standard output: the address, with the token that opens it.

    Args:
        options: of the page.
        engine: that answers.
        loopback: whether only this machine reaches the page: then files may be opened by path.

    Raises:
        CannotListen: the address is taken or not this machine's.
        BadRequest: the engine's URL is no address of a server.
    """
    asyncio.run(_run(options, engine, loopback=loopback))


async def _run(options: ViewOptions, engine: EngineOptions, *, loopback: bool) -> None:
    asked = RemoteEngine(engine) if engine.server else LocalEngine(engine)
    front = Front(options, asked, cafile=engine.cafile, here=not engine.server, paths=loopback)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM"):
        # Windows' loop takes no handlers: there Ctrl-C comes as KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(getattr(signal, name), stop.set)
    try:
        try:
            port = await front.start()
        except OSError as fault:
            raise CannotListen(
                f"Cannot listen on {options.host}:{options.port}: {fault.strerror}.",
                hint="Choose another --port, or 0 for one that is free.",
            ) from fault
        address = _address(options, port)
        sys.stdout.write(address + "\n")
        sys.stdout.flush()
        if options.open_browser:
            # Some browsers are started by waiting for them.
            await asyncio.to_thread(webbrowser.open, address)
        await stop.wait()
    finally:
        await front.stop()


def _address(options: ViewOptions, port: int) -> str:
    scheme = "https" if options.certificate else "http"
    host = "127.0.0.1" if options.host in ("0.0.0.0", "::", "localhost") else options.host
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}/?token={options.token}"
