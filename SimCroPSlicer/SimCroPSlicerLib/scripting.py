"""The same calls for scripts: they come back when the work is done, and the GUI lives meanwhile."""

from __future__ import annotations

import time
from typing import Any

import slicer

from simcrop_core import __version__
from simcrop_core.errors import SimCroPError
from SimCroPSlicerLib import segments
from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.logic import Answer, EngineLogic, Segmented
from SimCroPSlicerLib.tasks import Work


def wait(logic: EngineLogic, title: str, work: Work) -> Any:
    """Do work to its end.

    Raises:
        SimCroPError: as of the work.
    """
    outcome: list[Any] = []
    task = logic.scheduler.start(title, work, done=outcome.append, failed=outcome.append)
    while not task.finished:
        slicer.app.processEvents()
        logic.scheduler.turn()
        time.sleep(0.002)
    if isinstance(outcome[0], SimCroPError):
        raise outcome[0]
    return outcome[0]


def ground(logic: EngineLogic, volume: Any, sentences: list[str]) -> list[Any]:
    """A heatmap node a sentence; None where one has no place."""
    answer: Answer = wait(logic, "ground", logic.grounded(volume, sentences=sentences))
    display = HeatmapDisplay(volume.GetScene(), __version__)
    display.set_source(volume)
    return [display.add(found, answer) for found in answer.found]


def segment(logic: EngineLogic, volume: Any, task: str) -> Any:
    """The segmentation node."""
    result: Segmented = wait(logic, "segment", logic.segmented(volume, task))
    facts = {"task": task, "weights": result.weights["name"], "weights-sha256": result.weights["sha256"]}
    title = f"{volume.GetName()} {task} (SimCroP)"
    return segments.add_segmentation(
        volume, result.labels, result.names, title=title, facts={**facts, "version": __version__}
    )


def findings(logic: EngineLogic, volume: Any) -> list[dict[str, Any]]:
    """The findings' scores."""
    answer: Answer = wait(logic, "findings", logic.findings(volume))
    return [found.result for found in answer.found]
