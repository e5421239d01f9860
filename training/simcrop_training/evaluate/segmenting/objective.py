"""The objective of fine-tuning: Dice and cross-entropy on crops of one scan a step (see `engine.objective`)."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monai.losses.dice import DiceCELoss
from torch import Tensor, nn

from simcrop_core.errors import UnknownWeights
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights_file import load_tensors, write_safetensors
from simcrop_core.models.weights_metadata import stored_metadata
from simcrop_training.engine.objective import View
from simcrop_training.evaluate.segmenting.metrics import class_scores, mean_dice
from simcrop_training.evaluate.segmenting.prepared import Prepared
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.evaluate.segmenting.transforms import random_crops
from simcrop_training.evaluate.segmenting.windows import labelled_grid

_log = logging.getLogger("simcrop_training")
# Steps whose crops are kept while their micro-batches are asked for.
_KEPT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """A micro-batch: (B, 1, H, W, D) intensities and (B, 1, H, W, D) classes."""

    images_B1HWD: Tensor
    labels_B1HWD: Tensor


class Best:
    """The tensors with the best validation Dice so far, in a file of their own that outlives the process.

    Args:
        file: where.
        run: what run it is of; a file of another one is not taken for it.
    """

    def __init__(self, file: Path, run: str) -> None:
        self._file, self._run = file, run
        self.dice = self._stored()

    def offer(self, dice: float, tensors: Mapping[str, Tensor]) -> None:
        """Keep them where they are better than what is there.

        Raises:
            CannotWrite: the folder is not writable or the disk is full.
        """
        if math.isnan(dice) or (not math.isnan(self.dice) and dice <= self.dice):
            return
        kept = {key: tensor.detach().cpu().float().contiguous() for key, tensor in tensors.items()}
        write_safetensors(self._file, kept, {"run": self._run, "dice": repr(dice)})
        self.dice = dice

    def tensors(self) -> dict[str, Tensor] | None:
        """What was kept; None where nothing was."""
        return None if math.isnan(self.dice) else load_tensors(self._file)

    def _stored(self) -> float:
        try:
            said = stored_metadata(self._file)
        except UnknownWeights:
            return math.nan
        return float(said["dice"]) if said.get("run") == self._run else math.nan


class FineTuning:
    """Fine-tuning of a UNETR (see `engine.objective.Objective`): every step sees crops of one scan.

    Args:
        model: that learns, encoder and all.
        protocol: crops, loss, and how validation scans are measured.
        train: scans to learn from; an epoch sees each once, in an order of its own.
        valid: scans to choose by.
        seed: of orders and crops.
        best: takes the best tensors.
        at_once: crops computed together; memory grows with them, what is learned does not depend on it.
    """

    def __init__(
        self,
        model: UNETR,
        protocol: Protocol,
        *,
        train: Sequence[Prepared],
        valid: Sequence[Prepared],
        seed: int,
        best: Best,
        at_once: int = 1,
    ) -> None:
        self.module: nn.Module = model
        self.labels, self.protocol, self.best = model.config.labels, protocol, best
        self._train, self._valid, self._seed = list(train), list(valid), seed
        self._at_once = math.gcd(at_once, protocol.crops)
        self.micro_batches, self.samples = protocol.crops // self._at_once, protocol.crops
        self.sample_bytes, self.sample_flops = 5 * math.prod(protocol.window), 0.0
        self.weights: Mapping[str, float] = {"loss": 1.0}
        self._loss = DiceCELoss(
            softmax=True, to_onehot_y=True, squared_pred=True, smooth_nr=protocol.smooth, smooth_dr=1e-6
        )
        self._kept: dict[int, Crops] = {}
        self._turn = threading.Lock()

    def batch(self, index: int) -> Crops:
        """Crops of one micro-batch."""
        step, part = divmod(index, self.micro_batches)
        with self._turn:  # micro-batches of a step share the crops, whichever thread makes them
            if step not in self._kept:
                self._kept = {s: kept for s, kept in self._kept.items() if abs(s - step) < _KEPT}
                self._kept[step] = self._crops(step)
            crops = self._kept[step]
        mine = slice(part * self._at_once, (part + 1) * self._at_once)
        return Crops(crops.images_B1HWD[mine], crops.labels_B1HWD[mine])

    def counts(self, batch: Crops, /) -> dict[str, int]:
        """Crops."""
        return {"loss": len(batch.images_B1HWD)}

    def totals(self, batch: Crops, /) -> dict[str, Tensor]:
        """Dice and cross-entropy, summed over crops."""
        scores: Tensor = self.module(batch.images_B1HWD)
        loss: Tensor = self._loss(scores.float(), batch.labels_B1HWD)
        return {"loss": loss * len(scores)}

    def measure(self) -> dict[str, float]:
        """Dice on the validation scans at the model's spacing; the best tensors are kept."""
        model = self.module
        assert isinstance(model, UNETR)
        spacing, count = self.protocol.spacing_mm, len(self.labels)
        rows = []
        for prepared in self._valid:
            image_HWD, label_HWD = prepared.load()
            found = labelled_grid(model, image_HWD, self.protocol)
            rows.append(class_scores(found, label_HWD.numpy(), count, spacing, surfaces=False))
        figures = {
            "dice": _mean([mean_dice(scores, background=False) for scores in rows]),
            "dice_with_background": _mean([mean_dice(scores, background=True) for scores in rows]),
        }
        figures |= {
            f"dice/{label}": _mean([scores[index].dice for scores in rows])
            for index, label in enumerate(self.labels)
            if index
        }
        chosen_by = "dice_with_background" if self.protocol.chosen_by_background else "dice"
        self.best.offer(figures[chosen_by], model.state_dict())
        _log.info("Validation Dice %.4f, with the background %.4f", figures["dice"], figures["dice_with_background"])
        return {name: value for name, value in figures.items() if not math.isnan(value)}

    def view(self) -> View | None:
        """None."""
        return None

    def _crops(self, step: int) -> Crops:
        epoch, place = divmod(step, len(self._train))
        order = np.random.default_rng([self._seed, epoch, 0]).permutation(len(self._train))
        image_HWD, label_HWD = self._train[int(order[place])].load()
        seed = int(np.random.default_rng([self._seed, step, 1]).integers(2**31))
        images, labels = random_crops(image_HWD, label_HWD, self.protocol, seed)
        return Crops(images, labels)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
