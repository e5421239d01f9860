"""The training loop: any objective, resumable at any step, its data a function of (seed, step) alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from simcrop_training.engine.checkpoint import Checkpoint, find_latest, save_checkpoint

Batch = TypeVar("Batch")


class Objective(Protocol[Batch]):
    """What a method brings to the loop."""

    module: nn.Module

    def batch(self, step: int) -> Batch:
        """The batch of a step; called in another thread, the same for the same step."""

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Scalars to log; the one named "loss" is minimised."""

    def measure(self) -> dict[str, float]:
        """Figures on held-out data."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a run learns.

    Attributes:
        steps: of the optimiser; the learning rate falls to 0 along a half cosine over them.
        learning_rate: after the warm-up.
        warm_up: steps in which it rises from 0.
        weight_decay: of matrices; vectors have none.
        clip: largest norm of the gradient.
        measure_every: steps between measurements on held-out data.
        checkpoint_s: seconds between checkpoints.
        bf16: compute in bfloat16 where autocast allows.
    """

    steps: int = 600
    learning_rate: float = 1e-3
    warm_up: int = 40
    weight_decay: float = 0.05
    clip: float = 1.0
    measure_every: int = 100
    checkpoint_s: float = 120.0
    bf16: bool = True

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a run stopped: after how many steps, after how many seconds of training, with which figures."""

    step: int
    seconds: float
    metrics: dict[str, float]
    finished: bool


class Log:
    """One JSON line an event, appended."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, **values: Any) -> None:
        """Append one line."""
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")


class Loop(Generic[Batch]):
    """One run of one objective in one folder.

    Args:
        objective: what is learned.
        schedule: how.
        output: checkpoints and the log; a run found there goes on.
    """

    def __init__(self, objective: Objective[Batch], schedule: Schedule, output: Path) -> None:
        self.objective = objective
        self.schedule = schedule
        self.folder = output / "checkpoints"
        self.log = Log(output / "log.jsonl")
        self.optimiser = torch.optim.AdamW(_groups(objective.module, schedule.weight_decay), betas=(0.9, 0.95))
        self.step = 0
        self.seconds = 0.0
        latest = find_latest(self.folder)
        if latest is not None:
            objective.module.load_state_dict(latest.module)
            self.optimiser.load_state_dict(latest.optimiser)
            self.step, self.seconds = latest.step, latest.seconds
            self.log.write(resumed=self.step)

    def run(self, *, stop_after_s: float = math.inf, stop_at: int | None = None) -> Outcome:
        """Train until the schedule ends, `stop_at` steps are done or `stop_after_s` seconds of training are spent.

        Whatever ends it, a checkpoint is written; only the end of the schedule counts as finished.
        """
        last = min(self.schedule.steps, stop_at if stop_at is not None else self.schedule.steps)
        began, earlier = time.monotonic(), self.seconds
        saved = began
        metrics: dict[str, float] = {}
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.objective.batch, self.step)
            while self.step < last and self.seconds < stop_after_s:
                batch = coming.result()
                if self.step + 1 < last:
                    coming = ahead.submit(self.objective.batch, self.step + 1)
                losses = self._learn(batch)
                self.step += 1
                self.seconds = earlier + time.monotonic() - began
                self.log.write(step=self.step, seconds=self.seconds, **losses)
                if self.step % self.schedule.measure_every == 0 or self.step == self.schedule.steps:
                    metrics = self._measure()
                if time.monotonic() - saved > self.schedule.checkpoint_s:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return Outcome(self.step, self.seconds, metrics or self._measure(), self.step >= self.schedule.steps)

    def _learn(self, batch: Batch) -> dict[str, float]:
        rate = self.schedule.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        self.objective.module.train()
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.bf16):
            losses = self.objective.losses(batch)
        torch.autograd.backward(losses["loss"])
        norm = nn.utils.clip_grad_norm_(self.objective.module.parameters(), self.schedule.clip)
        self.optimiser.step()
        return {name: float(value.detach()) for name, value in losses.items()} | {"norm": float(norm)}

    def _measure(self) -> dict[str, float]:
        self.objective.module.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.bf16):
            metrics = self.objective.measure()
        self.log.write(step=self.step, seconds=self.seconds, held_out=metrics)
        return metrics

    def _save(self) -> None:
        state = self.objective.module.state_dict()
        save_checkpoint(self.folder, Checkpoint(self.step, self.seconds, state, self.optimiser.state_dict()))


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay, vectors without, scalars (temperature, bias) faster."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay, "scale": 1.0},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0, "scale": 1.0},
        {"params": [p for p in trained if p.ndim == 0], "weight_decay": 0.0, "scale": 5.0},
    ]
