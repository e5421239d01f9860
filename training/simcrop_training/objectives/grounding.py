"""Supervised grounding: each sentence is taught which patches it means, and that absent things are nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.models.config import ModelConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.sample import CELL_VOXELS, CELLS, Truth, load_sample
from simcrop_training.objectives.grounding_metrics import Answer, summarise

# A region that fills a quarter of a patch claims it; of a small finding, half of its fullest patch's share does.
_CLAIMED = 0.25


@dataclass(frozen=True, slots=True)
class GroundingSettings:
    """Attributes of the objective.

    Attributes:
        batch: frames a step.
        sentences: at most so many of each frame: found, absent or negated, anatomy.
        keep: share of patches encoded in a step; those a finding lies in are always among them.
        all_from: share of the schedule's steps after which all patches are encoded.
        real_rate: share of frames from real scans.
        word_noise: noise on sentence embeddings, relative to their spread.
    """

    batch: int = 6
    sentences: tuple[int, int, int] = (8, 8, 8)
    keep: float = 0.5
    all_from: float = 0.85
    real_rate: float = 0.35
    word_noise: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A batch.

    Attributes:
        images_B1HWD: intensities in −1…1.
        keep_BK: indices of the patches to encode.
        embeddings: per frame (S, text width).
        targets: per frame (S, K) share to which each kept patch belongs to each sentence, 0…1.
    """

    images_B1HWD: Tensor
    keep_BK: Tensor
    embeddings: list[Tensor]
    targets: list[Tensor]


class GroundingHead(nn.Module):
    """The model with the scale and offset that turn a cosine into a logit."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.model = GroundingModel(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.offset = nn.Parameter(torch.tensor(-3.0))

    def features(self, frames_B1HWD: Tensor, keep_BK: Tensor | None) -> Tensor:
        """(B, K, C) features of the kept patches."""
        first = int(self.model.config.vision.cls_token)
        out: Tensor = self.model.image_projection(self.model.vision(frames_B1HWD, keep_BK)[:, first:])
        return out


class Grounding:
    """The objective `grounding` (see `engine.loop.Objective`).

    Args:
        config: of the model.
        settings: of this objective.
        synthetic: stored samples drawn from nothing.
        real: stored samples of real scans; may be empty.
        held_out: stored samples to measure on.
        embeddings: of every sentence in them, (text width,).
        steps: of the schedule.
        seed: of initialisation, order and every random change.
    """

    def __init__(
        self,
        config: ModelConfig,
        settings: GroundingSettings,
        *,
        synthetic: Sequence[Path],
        real: Sequence[Path],
        held_out: Sequence[Path],
        embeddings: dict[str, Tensor],
        steps: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.module: nn.Module = GroundingHead(config)
        self._config, self._settings = config, settings
        self._synthetic, self._real, self._held_out = list(synthetic), list(real), list(held_out)
        self._embeddings, self._steps, self._seed = embeddings, steps, seed
        self._augmentation = augmentation or Augmentation()
        self._spread = torch.stack(list(embeddings.values())[:500]).std(0)

    def batch(self, step: int) -> Frames:
        """The frames of one step."""
        size, tokens = self._settings.batch, self._config.vision.tokens
        kept = tokens if step >= self._settings.all_from * self._steps else round(tokens * self._settings.keep)
        images, keeps, embeddings, targets = [], [], [], []
        for ordinal in range(step * size, (step + 1) * size):
            rng = np.random.default_rng([self._seed, ordinal])
            sample = augmented(load_sample(self._pick(ordinal, rng)), self._augmentation, rng)
            truths = _chosen(sample.truths, self._settings.sentences, rng)
            target_SN = np.stack([self.target(t) for t in truths])
            keep = _kept(rng, kept, target_SN, [t.polarity == "positive" for t in truths])
            images.append(self.frame(sample.image))
            keeps.append(torch.from_numpy(keep))
            words = torch.stack([self._embeddings[t.text] for t in truths])
            noise = torch.from_numpy(rng.standard_normal(words.shape, dtype=np.float32))
            embeddings.append(words + self._settings.word_noise * self._spread * noise)
            targets.append(torch.from_numpy(target_SN[:, keep]))
        return Frames(torch.stack(images), torch.stack(keeps), embeddings, targets)

    def losses(self, batch: Frames) -> dict[str, Tensor]:
        """Balanced cross-entropy a patch, cross-entropy of where, and the suppression of what is not there."""
        head = self._head
        features_BKC = head.features(batch.images_B1HWD, batch.keep_BK)
        found, where, nowhere = [], [], []
        scale = head.log_scale.exp()
        for features_KC, words, target_SK in zip(features_BKC, batch.embeddings, batch.targets, strict=True):
            cosine_SK = _cosine(head.model.project(words), features_KC)
            logits_SK = scale * cosine_SK + head.offset
            there = target_SK.amax(1) > 0
            if there.any():
                found.append(_balanced(logits_SK[there], target_SK[there]))
                where.append(_where(2 * logits_SK[there], target_SK[there]))
            if not there.all():
                top = logits_SK[~there].topk(min(16, logits_SK.shape[1]), dim=1).values
                nowhere.append(F.softplus(top).mean(1) + F.softplus(logits_SK[~there]).mean(1))
        terms = {"found": _mean(found), "where": _mean(where), "nowhere": _mean(nowhere)}
        return {
            "loss": terms["found"] + 0.5 * terms["where"] + 0.5 * terms["nowhere"],
            **terms,
            "scale": scale.detach(),
        }

    def measure(self) -> dict[str, float]:
        """Hits, sides and separation on the held-out samples."""
        answers = []
        for path in self._held_out:
            sample = load_sample(path)
            features_NC = self._head.features(self.frame(sample.image)[None], None)[0]
            words = torch.stack([self._embeddings[t.text] for t in sample.truths])
            cosine_SN = _cosine(self._head.model.project(words), features_NC)
            for truth, cosine_N in zip(sample.truths, cosine_SN.numpy(), strict=True):
                answers.append(Answer(truth, cosine_N, self.target(truth), self._config.vision.grid))
        return summarise(answers)

    def frame(self, image: NDArray[np.int16]) -> Tensor:
        """(1, H, W, D) intensities of the configured frame out of a stored image."""
        low, high = self._config.frame.hu_window
        frame = torch.from_numpy(image).float().sub_((low + high) / 2).div_((high - low) / 2).clamp_(-1, 1)[None]
        if tuple(frame.shape[1:]) != self._config.vision.image:
            frame = F.adaptive_avg_pool3d(frame, self._config.vision.image)
        return frame

    def target(self, truth: Truth) -> NDArray[np.float32]:
        """(N,) share to which each patch belongs to a sentence; zeros for what is not there."""
        grid = np.array(self._config.vision.grid)
        at = np.stack(np.unravel_index(truth.cells, CELLS)) * grid[:, None] // np.array(CELLS)[:, None]
        patches = np.ravel_multi_index(tuple(at), tuple(grid))
        covered = np.bincount(patches, weights=truth.counts, minlength=int(grid.prod()))
        share = covered * grid.prod() / (np.prod(CELLS) * CELL_VOXELS)
        claim = min(_CLAIMED, 0.5 * float(share.max()))
        target: NDArray[np.float32] = np.minimum(share / claim if claim > 0 else share, 1).astype(np.float32)
        return target

    @property
    def _head(self) -> GroundingHead:
        assert isinstance(self.module, GroundingHead)
        return self.module

    def _pick(self, ordinal: int, rng: np.random.Generator) -> Path:
        """Synthetic samples in a fresh random order every pass, real ones now and then."""
        if self._real and rng.random() < self._settings.real_rate:
            return self._real[int(rng.integers(len(self._real)))]
        turn, place = divmod(ordinal, len(self._synthetic))
        order = np.random.default_rng([self._seed, 7, turn]).permutation(len(self._synthetic))
        return self._synthetic[int(order[place])]


def _cosine(sentences_SC: Tensor, features_NC: Tensor) -> Tensor:
    """(S, N) cosines, in float32 also where autocast would take fewer bits."""
    with torch.autocast("cpu", enabled=False):
        return F.normalize(sentences_SC.float(), dim=-1) @ F.normalize(features_NC.float(), dim=-1).T


def _chosen(truths: Sequence[Truth], most: tuple[int, int, int], rng: np.random.Generator) -> list[Truth]:
    groups = (("positive",), ("absent", "negated"), ("anatomy",))
    chosen: list[Truth] = []
    for names, count in zip(groups, most, strict=True):
        group = [t for t in truths if t.polarity in names]
        chosen += [group[i] for i in rng.permutation(len(group))[:count]]
    assert chosen, "every scan has a sentence"
    return chosen


def _kept(
    rng: np.random.Generator, count: int, target_SN: NDArray[np.float32], findings: list[bool]
) -> NDArray[np.int64]:
    """Random patches, those that hold a finding first."""
    order = rng.random(target_SN.shape[1])
    if any(findings):
        order -= 2.0 * (target_SN[findings].max(0) > 0.5)
    kept: NDArray[np.int64] = np.sort(np.argsort(order)[:count]).astype(np.int64)
    return kept


def _balanced(logits_SK: Tensor, target_SK: Tensor) -> Tensor:
    """Binary cross-entropy; the claimed patches of a sentence, however few, weigh half as much as all the others."""
    inside = (target_SK * F.softplus(-logits_SK)).sum(1) / target_SK.sum(1).clamp(min=1e-3)
    outside = ((1 - target_SK) * F.softplus(logits_SK)).sum(1) / (1 - target_SK).sum(1).clamp(min=1e-3)
    return (0.5 * inside + outside).mean()


def _where(logits_SK: Tensor, target_SK: Tensor) -> Tensor:
    """Cross-entropy of a softmax over patches against the sentence's claim, less the least it can be."""
    wanted = target_SK / target_SK.sum(1, keepdim=True)
    least = -(wanted * wanted.clamp(min=1e-9).log()).sum(1)
    return (-(wanted * logits_SK.log_softmax(1)).sum(1) - least).mean()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack([v.mean() for v in values]).mean() if values else torch.zeros(())
