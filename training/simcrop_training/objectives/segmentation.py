"""Organ labels: a UNETR on random windows, with scans that know only some labels beside those that know all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses.dice import DiceLoss
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.models.config import SegmentationConfig
from simcrop_core.models.structures import CHEST_LABELS, OTHER_TISSUE, PARTS, made_of
from simcrop_core.models.unetr import UNETR
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.redraw import redrawn
from simcrop_training.data.sample import SAMPLE_LABELS, Sample, load_sample
from simcrop_training.objectives.known_labels import as_known, grouping
from simcrop_training.objectives.plain_unet import PlainUnet


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """Attributes of the objective.

    Attributes:
        frames: a step.
        windows: cut from each frame.
        real_rate: share of frames from real scans.
        zoom: a window covers between 1/zoom and zoom times its size.
        measure_on: so many of the held-out samples.
        redrawn_rate: share of frames whose intensities are drawn anew from their labels (`data.redraw`).
        network: "unetr", or MONAI's "unet" on the same windows, to measure the UNETR beside.
    """

    frames: int = 2
    windows: int = 4
    real_rate: float = 0.4
    zoom: float = 1.2
    measure_on: int = 4
    redrawn_rate: float = 0.2
    network: Literal["unetr", "unet"] = "unetr"


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A batch: (B, 1, H, W, D) intensities, (B, H, W, D) labels, and which labels each window knows."""

    images_B1HWD: Tensor
    labels_BHWD: Tensor
    known: list[tuple[int, ...]]


class Segmentation:
    """The objective `segmentation` (see `engine.loop.Objective`).

    Args:
        config: of the model; the labels of the samples begin with its own.
        settings: of this objective.
        synthetic: stored samples drawn from nothing.
        real: stored samples of real scans; may be empty.
        held_out: stored samples to measure on.
        seed: of initialisation, order and every random change.
        encoder: tensors of a grounding model whose image encoder is taken and kept as it is; a UNet has none.
    """

    def __init__(
        self,
        config: SegmentationConfig,
        settings: SegmentationSettings,
        *,
        synthetic: Sequence[Path],
        real: Sequence[Path],
        held_out: Sequence[Path],
        seed: int,
        augmentation: Augmentation | None = None,
        encoder: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        # Channels last: the layout in which CPU convolutions of few channels are fastest.
        self.module: nn.Module = PlainUnet(config) if settings.network == "unet" else _unetr(config, encoder)
        self.module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.config, self._settings, self._seed = config, settings, seed
        self._synthetic, self._real, self._held_out = list(synthetic), list(real), list(held_out)[: settings.measure_on]
        self._augmentation = augmentation or Augmentation()
        # Not squared: squares leave an organ whose score has fallen to nothing without a gradient to come back.
        self._dice = DiceLoss(softmax=True, to_onehot_y=True, smooth_dr=1e-6, smooth_nr=1e-6)

    def batch(self, step: int) -> Windows:
        """The windows of one step."""
        images, labels, known = [], [], []
        frames = self._settings.frames
        for ordinal in range(step * frames, (step + 1) * frames):
            rng = np.random.default_rng([self._seed, ordinal])
            sample = load_sample(self._pick(rng))
            if rng.random() < self._settings.redrawn_rate:
                sample = redrawn(sample, rng)
            sample = augmented(sample, self._augmentation, rng)
            for _ in range(self._settings.windows):
                image, label = self._cut(sample, rng)
                images.append(image)
                labels.append(label)
                known.append(sample.known)
        return Windows(torch.stack(images), torch.stack(labels), known)

    def losses(self, batch: Windows) -> dict[str, Tensor]:
        """Dice and cross-entropy; labels that a scan does not tell apart are one (`known_labels`)."""
        images_B1HWD = batch.images_B1HWD.contiguous(memory_format=torch.channels_last_3d)
        # One window at a time: on a CPU the backward pass of a batch takes twice as long as that of its windows.
        scores = torch.cat([self.module(window[None]) for window in images_B1HWD]).float()
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, known in enumerate(batch.known):
            groups.setdefault(known, []).append(index)
        parts = []
        for known, indices in groups.items():
            merged, labels = as_known(scores[indices], batch.labels_BHWD[indices], grouping(self.config.labels, known))
            parts.append((self._dice(merged, labels) + _cross_entropy(merged, labels)) * len(indices))
        return {"loss": torch.stack(parts).sum() / len(batch.known)}

    def measure(self) -> dict[str, float]:
        """Dice over all held-out windows (a regular grid of them, without overlap), and its mean over the labels.

        Of every label and union of labels (`PARTS`), on the samples that know it.
        """
        labels = self.config.labels
        names = (*labels[1:], *(name for name in PARTS if made_of(name, labels)))
        overlap, total = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
        for path in self._held_out:
            sample = load_sample(path)
            both = self._found_in(sample)
            for name in names:
                there = _known_as(name, sample.known)
                found = list(made_of(name, labels))
                if there:
                    overlap[name] += 2 * int(both[there][:, found].sum())
                    total[name] += int(both[there].sum() + both[:, found].sum())
        dice = {name: overlap[name] / total[name] for name in names if total[name]}
        mean = float(np.mean([dice[name] for name in labels[1:] if name in dice]))
        return {f"dice/{name}": value for name, value in dice.items()} | {"dice": mean}

    def _found_in(self, sample: Sample) -> NDArray[np.int64]:
        """(labels of samples, labels of the network) voxels of a sample by what they are and what is found."""
        count = len(self.config.labels)
        rows = max(len(SAMPLE_LABELS), count)
        both, device = np.zeros((rows, count), np.int64), next(self.module.parameters()).device
        grid = [range(0, s - w + 1, w) for s, w in zip(sample.image.shape, self._extent(1.0), strict=True)]
        for corner in ((x, y, z) for x in grid[0] for y in grid[1] for z in grid[2]):
            image, label = self._window(sample, corner, self._extent(1.0))
            found = self.module(image[None].to(device)).argmax(1)[0].cpu()
            both += np.bincount((label * count + found).numpy().ravel(), minlength=both.size).reshape(both.shape)
        return both

    def _pick(self, rng: np.random.Generator) -> Path:
        if self._real and rng.random() < self._settings.real_rate:
            return self._real[int(rng.integers(len(self._real)))]
        return self._synthetic[int(rng.integers(len(self._synthetic)))]

    def _extent(self, zoom: float) -> tuple[int, int, int]:
        """Voxels of the stored frame (1.5 × 1.5 × 3 mm) that a window covers."""
        spacing, window = self.config.frame.spacing_mm, self.config.window
        x, y, z = (round(n * s / t * zoom) for n, s, t in zip(window, spacing, (1.5, 1.5, 3.0), strict=True))
        return x, y, z

    def _cut(self, sample: Sample, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A window at random; two of three are centred on an organ."""
        most = np.log(self._settings.zoom)
        extent = self._extent(float(np.exp(rng.uniform(-most, most))))
        shape = np.array(sample.image.shape)
        corner = rng.integers(0, np.maximum(shape - extent, 0) + 1)
        organ = int(rng.choice(sample.known))
        flat = np.flatnonzero(sample.labels.ravel()[::31] == organ) * 31
        if flat.size and rng.random() < 0.67:
            at = np.array(np.unravel_index(int(flat[rng.integers(flat.size)]), sample.labels.shape))
            jitter = rng.integers(-np.array(extent) // 3, np.array(extent) // 3 + 1)
            corner = np.clip(at - np.array(extent) // 2 + jitter, 0, np.maximum(shape - extent, 0))
        return self._window(sample, (int(corner[0]), int(corner[1]), int(corner[2])), extent)

    def _window(
        self, sample: Sample, corner: tuple[int, int, int], extent: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """(1, H, W, D) intensities and (H, W, D) labels of one box, resampled to the window's voxels."""
        low, high = self.config.frame.hu_window
        box = tuple(slice(c, c + e) for c, e in zip(corner, extent, strict=True))
        image = torch.from_numpy(sample.image[box].astype(np.float32))[None, None]
        label = torch.from_numpy(sample.labels[box])[None, None]
        image = ((image - (low + high) / 2) / ((high - low) / 2)).clamp(-1, 1)
        if tuple(image.shape[2:]) != self.config.window:
            image = F.interpolate(image, self.config.window, mode="trilinear")
            label = _most_of(label, self.config.window)
        return image[0], label[0, 0].long()


def _most_of(labels_11HWD: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Labels on another grid: of each voxel the one that has most of it, interpolated as the intensities are.

    The nearest voxel's label would lie half a voxel off where two voxels become one. Halves, which are frequent there,
    go to the one and the other in turn, as squares on a chessboard: else the lower label would grow at every surface.
    """
    most, best = torch.zeros(1), labels_11HWD.new_zeros(1)
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    black = torch.from_numpy((x + y + z) % 2 == 1)
    for label in labels_11HWD.unique():
        share = F.interpolate((labels_11HWD == label).float(), shape, mode="trilinear")
        best = torch.where((share > most) | ((share == most) & black), label, best)
        most = torch.maximum(most, share)
    return best


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Each label counts as the root of its voxels, (B, 1, …): as their number, the trachea is never worth trying."""
    voxels = torch.bincount(labels.flatten(), minlength=scores.shape[1]).to(scores.dtype)
    rarity = torch.where(voxels > 0, voxels.clamp(min=1).rsqrt(), 0)
    return F.cross_entropy(scores, labels[:, 0], rarity)


def _unetr(config: SegmentationConfig, encoder: Mapping[str, Tensor] | None) -> UNETR:
    model = UNETR(config)
    if encoder is not None:
        model.load_encoder({key: tensor.float() for key, tensor in encoder.items()})
        # What it knows of the chest took longer to learn than the decoder will take.
        model.vit.requires_grad_(False)
    return model


def _known_as(name: str, known: Sequence[int]) -> list[int]:
    """The labels of a sample that make a structure; none where the sample does not know it."""
    if name == "body":
        return list(range(1, len(SAMPLE_LABELS))) if SAMPLE_LABELS.index(OTHER_TISSUE) in known else []
    own, parts = SAMPLE_LABELS.index(name), made_of(name, CHEST_LABELS)
    return sorted({own, *parts}) if own in known or set(parts) <= set(known) else []
