"""What a run writes down: JSON lines and TensorBoard events, and what of it goes to the trackers that are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from simcrop_training.engine.trackers import End, Sink, Tracking, start_trackers


class TensorBoard:
    """Event files in `output/tensorboard`."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self._writer.add_image("view", pixels, step, dataformats="HWC")

    def close(self, _end: End) -> None:
        """See `Sink`."""
        self._writer.close()


class Log:
    """The log of a run's first process.

    `output/log.jsonl` has one JSON line an event, appended. Where a run was killed and went on, steps after its last
    checkpoint stand there twice; the later line counts.

    Args:
        output: folder of the run.
        step: steps done before.
        tracking: what leaves the folder.
        recipe: told to the trackers.
    """

    def __init__(self, output: Path, step: int, tracking: Tracking, recipe: Mapping[str, Any]) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self._output, self._tracking, self._recipe = output, tracking, recipe
        self._path = output / "log.jsonl"
        self._board = TensorBoard(output / "tensorboard", step)
        self._trackers: list[Sink] = []

    def open(self) -> None:
        """Begin at the trackers.

        Raises:
            MissingDependency: one is not installed.
            TrackerUnavailable: one does not take the run.
        """
        self._trackers = start_trackers(self._tracking, self._output, self._recipe)

    def event(self, **values: Any) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def figures(self, step: int, values: Mapping[str, float], *, group: str = "") -> None:
        """Append a line with figures of a step, as `group` if that is named, and hand them to every other place."""
        self.event(step=step, **({group: dict(values)} if group else values))
        prefix = f"{group}/" if group else ""
        for sink in (self._board, *self._trackers):
            sink.figures(step, {prefix + name: value for name, value in values.items()})

    def picture(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """Keep a picture in the folder; trackers get it only where the user said so."""
        self._board.picture(step, pixels)
        for tracker in self._trackers if self._tracking.pictures else []:
            tracker.picture(step, pixels)

    def close(self, end: End) -> None:
        """Write out what is still held, and tell the trackers how the run ended."""
        trackers, self._trackers = self._trackers, []
        for sink in (self._board, *trackers):
            sink.close(end)
