"""Which engine is asked: one on this computer, or a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from SimCroPSlicerLib import install
from SimCroPSlicerLib.command import Command
from SimCroPSlicerLib.runners import LocalEngine, RemoteEngine
from SimCroPSlicerLib.setup_words import check_before_start


class EngineChoice:
    """The engine in use, and what a local one is made from.

    Args:
        source: the folder of `simcrop_core`.
        folder: of the engine's packages.
        requirements: the file of pinned packages.
        version: of the engine that the panel belongs to.
        python: that runs a local engine.
    """

    def __init__(self, source: Path, folder: Path, requirements: Path, version: str, python: str) -> None:
        self._source = source
        self._python = python
        self.folder = folder
        self.requirements = requirements
        self.version = version
        self.device = "auto"
        self._chosen = ("", "", "")
        # What is missing is looked for before the first start; after a set-up, once more.
        self._checked = False
        self._watchers: list[Callable[[], None]] = []
        self._left: list[LocalEngine | RemoteEngine] = []
        self.engine: LocalEngine | RemoteEngine = LocalEngine(self._checked_command, self._changed)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call this whenever the engine's state changes."""
        self._watchers.append(changed)

    def choose(self, url: str, token: str, cafile: str) -> bool:
        """Use the server at a URL, or with "" an engine on this computer; whether that is a change.

        Raises:
            BadRequest: the URL is no address of a server.
        """
        if (url, token, cafile) == self._chosen:
            return False
        if url:
            engine: LocalEngine | RemoteEngine = RemoteEngine(url, token, cafile, self._changed)
        elif not self._chosen[0]:
            self._chosen = (url, token, cafile)
            return False
        else:
            engine = LocalEngine(self._checked_command, self._changed)
        self.engine.stop()
        self._left.append(self.engine)
        self._chosen, self.engine = (url, token, cafile), engine
        return True

    @property
    def ended(self) -> bool:
        """Whether no process of an engine on this computer is left, also none of one that was left for a server."""
        self._left = [engine for engine in self._left if not engine.ended]
        return self.engine.ended and not self._left

    def look(self) -> install.SetUp:
        """What an engine on this computer needs, and what of it is there."""
        return install.look(self.requirements, self.folder, self.version)

    def set_up_changed(self) -> None:
        """The engine's folder is another one now."""
        self._checked = False

    def fetch_command(self) -> Command:
        """The command that fetches the sample CT."""
        from SimCroPSlicerLib.sample import fetch_command

        return fetch_command(self._python, self._source, self.folder)

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _checked_command(self) -> Command:
        if not self._checked:
            check_before_start(self.look())
            self._checked = True
        return install.engine_command(
            self._python, self._source, self.folder, device=self.device, parent_pid=os.getpid()
        )
