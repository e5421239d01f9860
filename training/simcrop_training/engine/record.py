"""The record of a run in progress: losses stay on the device until a bundle of them is written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from simcrop_training.engine.bar import Bar
from simcrop_training.engine.errors import TrackerUnavailable
from simcrop_training.engine.log import Log
from simcrop_training.engine.objective import View
from simcrop_training.engine.ranks import Ranks
from simcrop_training.engine.speed import Speed
from simcrop_training.engine.trackers import Tracking


class Record:
    """What the first rank writes and shows; on the others it does nothing.

    Args:
        output: folder of the run.
        ranks: of the run.
        speed: of the steps.
        step: steps done before; figures of later ones that an earlier process left in TensorBoard are hidden.
        steps: of the run.
        tracking: what of it leaves the folder.
        recipe: told to the trackers.
    """

    def __init__(
        self,
        output: Path,
        *,
        ranks: Ranks,
        speed: Speed,
        step: int,
        steps: int,
        tracking: Tracking,
        recipe: Mapping[str, Any],
    ) -> None:
        self._log = Log(output, step, tracking, recipe) if ranks.first else None
        self._ranks, self._tracked = ranks, bool(tracking.names)
        self._speed = speed
        self._bar = Bar(shown=ranks.first, done=step, total=steps)
        self._waiting: list[tuple[int, float, Mapping[str, Tensor]]] = []
        self._loss: float | None = None
        self._stopped = False

    def __enter__(self) -> Record:
        self._open()
        self._bar.__enter__()
        self._speed.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, fault, trace)
        if self._log:
            failed = kind is not None and issubclass(kind, Exception)
            self._log.close("failed" if failed else "stopped" if self._stopped or kind else "finished")

    def stopped(self) -> None:
        """Take note that somebody stopped the run, which will go on."""
        self._stopped = True

    def event(self, **values: object) -> None:
        """Write down something that happened."""
        if self._log:
            self._log.event(**values)

    def step(self, step: int, rate: float, values: Mapping[str, Tensor]) -> None:
        """Take in a step; nothing is read off the device."""
        self._waiting.append((step, rate, values))
        self._bar.at(step, self._loss)

    def write(self, seconds: float, waited_s: float) -> None:
        """Read what waits off the device and write it down.

        Args:
            seconds: of training so far.
            waited_s: for data so far, on this rank.
        """
        waiting, self._waiting = self._waiting, []
        if not self._log or not waiting:
            return
        for step, rate, values in waiting:
            figures = {name: float(value) for name, value in values.items()}
            self._log.figures(step, {**figures, "rate": rate})
            self._loss = figures["loss"]
        speed = self._speed.figures(len(waiting), waited_s)
        self._log.figures(waiting[-1][0], {"seconds": round(seconds, 2), **speed}, group="speed")

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write down figures on held-out data."""
        if self._log:
            self._log.figures(step, metrics, group="held_out")

    def seen(self, step: int, view: View | None) -> None:
        """Write down a look at held-out data."""
        if not self._log or view is None:
            return
        self._log.figures(step, view.figures, group="view")
        if view.picture is not None:
            self._log.picture(step, view.picture)

    def _open(self) -> None:
        """Begin at the trackers; where the first rank cannot, all ranks end."""
        fault: TrackerUnavailable | None = None
        if self._log:
            try:
                self._log.open()
            except TrackerUnavailable as error:
                fault = error
        if not self._tracked:
            return
        said = self._ranks.told(None if fault is None else (fault.message, fault.hint))
        if said is not None:
            raise TrackerUnavailable(said[0], hint=said[1]) from fault
