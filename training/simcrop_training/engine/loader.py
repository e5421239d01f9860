"""Micro-batches prepared ahead of the step that needs them, in threads: no voxel crosses a process boundary."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic

import torch
from torch import Tensor

from simcrop_training.engine.objective import Batch, Objective


class Loader(Generic[Batch]):
    """The micro-batches of one rank, step by step.

    Args:
        objective: whose they are.
        share: the rank's micro-batches in every step.
        last: step after which there is none.
        workers: threads.
        ahead: steps prepared in advance.

    Attributes:
        waited_s: how long `step` has kept its caller waiting so far.
    """

    def __init__(self, objective: Objective[Batch], share: range, last: int, *, workers: int, ahead: int) -> None:
        self._objective, self._share, self._last, self._ahead = objective, share, last, ahead
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="loader")
        self._coming: dict[int, list[Future[Batch]]] = {}
        self.waited_s = 0.0

    def __enter__(self) -> Loader[Batch]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of a step; those of the next ones are begun."""
        for coming in range(step, min(step + self._ahead + 1, self._last)):
            if coming not in self._coming:
                first = coming * self._objective.micro_batches
                self._coming[coming] = [self._threads.submit(self._objective.batch, first + m) for m in self._share]
        began = time.monotonic()
        batches = [future.result() for future in self._coming.pop(step)]
        self.waited_s += time.monotonic() - began
        return batches


def moved(value: Any, device: torch.device) -> Any:
    """A batch with its tensors on a device: dataclasses, lists, tuples and dictionaries are followed."""
    if device.type == "cpu":
        return value
    if isinstance(value, Tensor):
        return value.pin_memory().to(device, non_blocking=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: moved(getattr(value, f.name), device) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, list | tuple):
        return type(value)(moved(item, device) for item in value)
    if isinstance(value, dict):
        return {key: moved(item, device) for key, item in value.items()}
    return value
