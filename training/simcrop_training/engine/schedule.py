"""How long and how fast a run learns, and how it is computed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["bf16", "float32", "float64"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a run learns.

    Attributes:
        steps: of the optimiser; the learning rate falls to 0 along a half cosine over them.
        epochs: instead of steps, for objectives that know how many steps an epoch has.
        learning_rate: after the warm-up.
        warm_up: steps in which it rises from 0.
        warm_up_epochs: instead of steps.
        betas: of AdamW.
        weight_decay: of matrices; biases, norms and tokens have none.
        clip: largest norm of the gradient.
        patience: so many steps in a row without a finite gradient are passed over; one more ends the run.
        measure_every: steps between measurements on held-out data.
        view_every: steps between looks at held-out data; 0 for none.
        checkpoint_s: seconds between checkpoints; 0 writes one after every step.
        precision: bfloat16 where autocast allows it, float32 or (to compare runs) float64 throughout.
    """

    steps: int = 600
    epochs: float | None = None
    learning_rate: float = 1e-3
    warm_up: int = 40
    warm_up_epochs: float | None = None
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip: float = 1.0
    patience: int = 2
    measure_every: int = 100
    view_every: int = 0
    checkpoint_s: float = 120.0
    precision: Precision = "bf16"

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def in_steps(self, steps_per_epoch: int) -> Schedule:
        """The same with epochs turned into steps."""
        steps = self.steps if self.epochs is None else round(self.epochs * steps_per_epoch)
        warm_up = self.warm_up if self.warm_up_epochs is None else round(self.warm_up_epochs * steps_per_epoch)
        return dataclasses.replace(self, steps=steps, epochs=None, warm_up=warm_up, warm_up_epochs=None)


@dataclass(frozen=True, slots=True)
class Compute:
    """How a run is computed; none of it is part of what is learned.

    Attributes:
        parallel: how ranks share the work. "exact" adds gradients in one order whatever the number of ranks, so that
            runs agree to the last bit; "ddp" overlaps the exchange with the backward pass; "fsdp" shards parameters,
            gradients and optimiser state. The latter two agree within rounding.
        compile: whether `torch.compile` is applied to the transformer blocks.
        checkpoint_activations: whether blocks are computed again in the backward pass instead of kept.
        deterministic: whether PyTorch refuses kernels whose sums depend on timing (matters on GPUs only).
        workers: threads that read and prepare micro-batches.
        ahead: steps that are prepared in advance.
        log_every: steps between writes of the log; reading a loss off a GPU waits for it, so it is done in bundles.
    """

    parallel: Literal["exact", "ddp", "fsdp"] = "exact"
    compile: bool = False
    checkpoint_activations: bool = False
    deterministic: bool = False
    workers: int = 2
    ahead: int = 1
    log_every: int = 10


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; biases, norms and tokens without; scalars (temperature, offset) five times faster."""
    decayed, vectors, scalars = [], [], []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim == 0:
            scalars.append(parameter)
        elif parameter.ndim == 1 or name.endswith("_token"):
            vectors.append(parameter)
        else:
            decayed.append(parameter)
    groups = [(decayed, weight_decay, 1.0), (vectors, 0.0, 1.0), (scalars, 0.0, 5.0)]
    return [{"params": p, "weight_decay": decay, "scale": scale} for p, decay, scale in groups if p]


def adamw(module: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """The optimiser of a run, with the step fused into one pass over the parameters."""
    groups = parameter_groups(module, schedule.weight_decay)
    return torch.optim.AdamW(groups, lr=schedule.rate(0), betas=schedule.betas, fused=True)
