"""The engine as a session knows it: the front owns it, and says where it is and how it fares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from SimCroPSlicerLib.line import Address

from SimCroPViewer.options import SessionOptions

_AGAIN_S = 1.0
_TRIES = 5


class EngineLink:
    """`logic.Engine` for a session.

    Args:
        options: of the session.
        changed: called whenever the engine's state has changed.
        gone: called when the front has ended without a word.

    Attributes:
        address: where the engine listens; None until it does.
        state: "stopped", "starting", "running" or "crashed".
        log: its last lines.
    """

    def __init__(self, options: SessionOptions, changed: Callable[[], None], gone: Callable[[], None]) -> None:
        self.address: Address | None = None
        self.on_this_machine = options.here
        self.cafile = options.cafile
        self.state = "starting"
        self.log: list[str] = []
        self._changed = changed
        self._gone = gone
        self._keeper = options.keeper
        self._headers = {"Authorization": f"Bearer {options.keeper_secret}"}
        self._told: set[asyncio.Task[None]] = set()

    @property
    def starting(self) -> bool:
        """Whether it is worth waiting for its address."""
        return self.state == "starting"

    def start(self) -> None:
        """Have it started, unless it runs."""
        if self.state in ("stopped", "crashed"):
            self._tell("start")

    def restart(self) -> None:
        """End it, and start it again."""
        self._tell("restart")

    def _tell(self, what: str) -> None:
        self.state, self.address = "starting", None
        self._changed()
        task = asyncio.create_task(self._post(what))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _post(self, what: str) -> None:
        async with aiohttp.ClientSession(headers=self._headers) as client:
            await client.post(f"{self._keeper}/engine/{what}")

    async def watch(self) -> None:
        """Hear of every change, for as long as the front lives."""
        version, tries = -1, 0
        async with aiohttp.ClientSession(headers=self._headers) as client:
            while tries < _TRIES:
                try:
                    async with client.get(f"{self._keeper}/engine?after={version}") as answer:
                        known: dict[str, Any] = await answer.json()
                except aiohttp.ClientError:
                    tries += 1
                    await asyncio.sleep(_AGAIN_S)
                    continue
                tries = 0
                if known["version"] != version:
                    version = known["version"]
                    self._is(known)
        self._gone()

    def _is(self, known: dict[str, Any]) -> None:
        self.state, self.log = known["state"], known["log"]
        self.address = None if known["address"] is None else Address(**known["address"])
        self._changed()
