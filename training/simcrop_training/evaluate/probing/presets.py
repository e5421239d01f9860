"""The released linear probe's settings for each task and share of the training list (docs/benchmarks/probe.md)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from simcrop_core.errors import SimCroPError

Task = Literal["ct-rate", "rad-chestct", "cc-ccii", "luna16"]
Share = Literal[1, 10, 100]
CalcificationRule = Literal["max_prob", "best_auc"]


class NoSuchRecipe(SimCroPError):
    """The released code has no settings for this task with so small a share of its training list."""

    code = "no-such-recipe"


@dataclass(frozen=True, slots=True)
class OfficialSettings:
    """How the released code fits its head.

    Attributes:
        learning_rate: at its highest.
        steps: of the optimiser.
        warm_up: steps in which the rate rises from 0.
        batch: scans a step.
        patience: validations in a row without a better one, after which it ends.
        weight_decay: of the head, its bias included.
        clip: largest norm of the head's gradient.
        head_std: of the head's first weights, a normal cut at ±2; its bias starts at 0.
        drop_path: of the encoder's last block, growing linearly from 0 at the first.
        first_validation: the epoch after which validation begins; 1 is the first.
    """

    learning_rate: float
    steps: int
    warm_up: int
    batch: int
    patience: int = 10
    weight_decay: float = 1e-5
    clip: float = 1.0
    head_std: float = 2e-5
    drop_path: float = 0.1
    first_validation: int = 11

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 1: a linear rise, then half a cosine to 0 at the last step.

        Beyond the last step the cosine goes on and rises again, as it does in the released scheduler.
        """
        if step < self.warm_up:
            return self.learning_rate * step / self.warm_up
        done = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        return self.learning_rate * max(0.0, 0.5 * (1 + math.cos(math.pi * done)))

    def encodings(self, train: int, valid: int, test: int) -> int:
        """Scans that the released script encodes in a whole run: each step's, and the validation scans every epoch."""
        epoch_steps = math.ceil(train / min(self.batch, train))
        validations = max(self.steps // epoch_steps - self.first_validation + 1, 0)
        seen = self.steps // epoch_steps * train + min(self.steps % epoch_steps * self.batch, train)
        return seen + validations * valid + test

    def shortened(self, steps: int) -> OfficialSettings:
        """The same in another number of steps, the warm-up in proportion."""
        return dataclasses.replace(self, steps=steps, warm_up=max(round(self.warm_up * steps / self.steps), 1))


OFFICIAL: dict[tuple[Task, Share], OfficialSettings] = {
    # run.sh says 1000 steps, the README 2000.
    ("ct-rate", 1): OfficialSettings(1.5e-3, steps=1_000, warm_up=150, batch=32),
    ("ct-rate", 10): OfficialSettings(3e-3, steps=10_000, warm_up=1_500, batch=64),
    ("ct-rate", 100): OfficialSettings(3e-3, steps=10_000, warm_up=1_500, batch=64),
    ("rad-chestct", 10): OfficialSettings(1.5e-3, steps=2_000, warm_up=80, batch=32),
    ("rad-chestct", 100): OfficialSettings(3e-3, steps=2_000, warm_up=200, batch=128),
    ("cc-ccii", 1): OfficialSettings(1.5e-3, steps=200, warm_up=20, batch=29, patience=20),
    ("cc-ccii", 10): OfficialSettings(1.5e-3, steps=2_000, warm_up=150, batch=32, patience=20),
    ("cc-ccii", 100): OfficialSettings(1.5e-3, steps=2_000, warm_up=200, batch=128, patience=20),
    ("luna16", 10): OfficialSettings(1.5e-3, steps=200, warm_up=20, batch=31, patience=200),
    ("luna16", 100): OfficialSettings(1.5e-3, steps=2_000, warm_up=200, batch=32, patience=20),
}


def official_settings(task: Task, share: Share) -> OfficialSettings:
    """The settings of a task with a share of its training list, in per cent.

    Raises:
        NoSuchRecipe: the released code has none.
    """
    if (task, share) not in OFFICIAL:
        shares = ", ".join(str(known) for name, known in OFFICIAL if name == task)
        raise NoSuchRecipe(
            f"The released probe has no settings for {share} % of {task}.",
            hint=f"Give --share as one of {shares}, or --preset clean.",
        )
    return OFFICIAL[task, share]
