"""The two protocols of fine-tuning and scoring, as numbers (docs/benchmarks/segmentation.md)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from simcrop_training.engine.schedule import Schedule

PresetName = Literal["official", "clean"]
TaskName = Literal["btcv", "luna16"]
Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a segmentation model is trained, chosen and scored.

    Attributes:
        name: of the preset.
        spacing_mm: that scans and label maps are brought to.
        window: voxels of a crop, and of the sliding window.
        feature_size: channels of the decoder at full resolution.
        hu_window: mapped to −1…1, clipped.
        crop_to_bone: whether scans are cropped to the box of their voxels above 0 HU, and background crops are centred
            on such voxels only.
        crops: of one scan and step, half of them centred on a label.
        flip_axes: that a crop is mirrored along, each with probability 0.2.
        learning_rate: after the warm-up.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        epochs: each a step a training scan.
        warm_up_epochs: in which the rate rises.
        by_epoch: whether the rate is that of the epoch, from 0 in the first, rather than of the step.
        validate_every: epochs between looks at the validation scans.
        smooth: added to the numerator of the Dice loss; 1e-6 is added to its denominator.
        overlap: of neighbouring windows at inference.
        blend: how scores of windows that overlap are weighted.
        beyond: intensity of what a window shows beyond a scan.
        chosen_by_background: whether the Dice that chooses the checkpoint counts the background as a class.
        positions: the encoder's position table: the released one, which leaves the depth out, or the encoder's own.
        take_norm: whether the encoder's last LayerNorm is taken, whatever it is called in its file.
    """

    name: PresetName
    spacing_mm: tuple[float, float, float]
    epochs: int
    validate_every: int
    window: Triple = (96, 96, 48)
    feature_size: int = 16
    hu_window: tuple[float, float] = (-1000.0, 1000.0)
    crop_to_bone: bool = True
    crops: int = 16
    flip_axes: tuple[int, ...] = (0, 1, 2)
    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    clip: float = math.inf
    warm_up_epochs: int = 50
    by_epoch: bool = True
    smooth: float = 0.0
    overlap: float = 0.5
    blend: Literal["constant", "gaussian"] = "constant"
    beyond: float = 0.0
    chosen_by_background: bool = True
    positions: Literal["released", "encoder"] = "released"
    take_norm: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: what two runs must share to be one run."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}


def protocol_of(preset: PresetName, task: TaskName | None, percent: int = 100) -> Protocol:
    """The protocol of a preset.

    Args:
        preset: `official`: that of the released code, its quirks kept; `clean`: without them.
        task: of the released code; None for any other set, which is treated as BTCV.
        percent: of the training scans, on which the number of epochs depends.
    """
    if task == "luna16":
        spacing, epochs, every = (1.0, 1.0, 1.0), 50 if percent == 100 else 400, 5 if percent == 100 else 20
    else:
        spacing, epochs, every = (1.5, 1.5, 3.0), 2000, 50
    released = Protocol("official", spacing, epochs, every)
    if preset == "official":
        return released
    return dataclasses.replace(
        released, name="clean", crop_to_bone=False, flip_axes=(1, 2), clip=1.0,
        warm_up_epochs=math.ceil(min(50, epochs / 10)), by_epoch=False, smooth=1e-6, overlap=0.25,
        blend="gaussian", beyond=-1.0, chosen_by_background=False, positions="encoder", take_norm=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EpochSchedule(Schedule):
    """A schedule whose rate stays for an epoch: 0 in the first, then linear, then half a cosine, as released.

    Attributes:
        steps_per_epoch: scans to train on.
        rise: epochs of the warm-up.
        whole: epochs of the run.
    """

    steps_per_epoch: int = 1
    rise: int = 50
    whole: int = 2000

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        epoch = step // self.steps_per_epoch
        if epoch < self.rise:
            return self.learning_rate * epoch / max(self.rise - 1, 1)
        done = (epoch - self.rise) / max(self.whole - self.rise, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def schedule_of(protocol: Protocol, scans: int, *, precision: Literal["bf16", "float32"]) -> Schedule:
    """The loop's schedule of a protocol.

    Args:
        protocol: the numbers.
        scans: to train on; each is a step of an epoch.
        precision: of the network's layers while training.
    """
    shared: dict[str, Any] = {
        "steps": protocol.epochs * scans,
        "learning_rate": protocol.learning_rate,
        "warm_up": protocol.warm_up_epochs * scans,
        "betas": (0.9, 0.999),
        "weight_decay": protocol.weight_decay,
        "clip": protocol.clip,
        "measure_every": protocol.validate_every * scans,
        "precision": precision,
    }
    if protocol.by_epoch:
        return EpochSchedule(**shared, steps_per_epoch=scans, rise=protocol.warm_up_epochs, whole=protocol.epochs)
    return Schedule(**shared)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return "none" if value == math.inf else value


def changed(protocol: Protocol, **values: object) -> Protocol:
    """The protocol with other numbers where some are given; the warm-up stays within the epochs."""
    given = {name: value for name, value in values.items() if value is not None}
    whole: Protocol = dataclasses.replace(protocol, **given)  # type: ignore[arg-type]
    if "epochs" in given:
        rise = min(whole.warm_up_epochs, math.ceil(whole.epochs / 10))
        whole = dataclasses.replace(whole, warm_up_epochs=rise, validate_every=min(whole.validate_every, whole.epochs))
    return whole
