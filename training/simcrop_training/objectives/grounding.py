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
from simcrop_training.data.frames import intensities, patch_shares, picked
from simcrop_training.data.sample import Truth, load_sample
from simcrop_training.objectives.grounding_metrics import Answer, summarise

# Sentences that point at something, that point nowhere, and that name a region; others teach nothing here.
POINTING, _NOWHERE, _REGIONS = ("positive", "uncertain"), ("absent", "negated"), ("anatomy", "normal")
# The temperature of the contrast, as in pre-training (docs/methods/simcrop.md).
_TEMPERATURE = 0.07


@dataclass(frozen=True, slots=True)
class GroundingSettings:
    """Attributes of the objective.

    Attributes:
        batch: frames a step.
        sentences: at most so many of each frame: pointing at a finding, at nothing, at an organ or region.
        keep: share of patches encoded in a step; those a finding lies in are always among them.
        all_from: share of the schedule's steps after which all patches are encoded.
        real_rate: share of frames from real scans.
        word_noise: noise on sentence embeddings, relative to their spread.
        align_weight: of the contrast between a sentence's region and the other sentences.
    """

    batch: int = 8
    sentences: tuple[int, int, int] = (10, 12, 8)
    keep: float = 0.3
    all_from: float = 0.9
    real_rate: float = 0.35
    word_noise: float = 0.1
    align_weight: float = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A batch.

    Attributes:
        images_B1HWD: intensities in −1…1.
        keep_BK: indices of the patches to encode.
        embeddings: per frame (S, text width).
        targets: per frame (S, K) share to which each kept patch belongs to each sentence, 0…1.
        meanings: per frame (S,) one number a sentence, the same for sentences about the same thing in the same place.
    """

    images_B1HWD: Tensor
    keep_BK: Tensor
    embeddings: list[Tensor]
    targets: list[Tensor]
    meanings: list[Tensor]


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
        low_high, shape, grid = self._config.frame.hu_window, self._config.vision.image, self._config.vision.grid
        images, keeps, embeddings, targets, meanings = [], [], [], [], []
        for ordinal in range(step * size, (step + 1) * size):
            rng = np.random.default_rng([self._seed, ordinal])
            path = picked(
                ordinal, rng, synthetic=self._synthetic, real=self._real, real_rate=self._settings.real_rate,
                seed=self._seed,
            )  # fmt: skip
            sample = augmented(load_sample(path), self._augmentation, rng)
            truths = _chosen(sample.truths, self._settings.sentences, rng)
            target_SN = np.stack([patch_shares(t, grid) for t in truths])
            keep = _kept(rng, kept, target_SN, [t.polarity in POINTING for t in truths])
            images.append(intensities(sample.image, low_high, shape))
            keeps.append(torch.from_numpy(keep))
            words = torch.stack([self._embeddings[t.text] for t in truths])
            noise = torch.from_numpy(rng.standard_normal(words.shape, dtype=np.float32))
            embeddings.append(words + self._settings.word_noise * self._spread * noise)
            targets.append(torch.from_numpy(target_SN[:, keep]))
            meanings.append(_meanings(truths))
        return Frames(torch.stack(images), torch.stack(keeps), embeddings, targets, meanings)

    def losses(self, batch: Frames) -> dict[str, Tensor]:
        """Balanced cross-entropy a patch, cross-entropy of where, and the suppression of what is not there."""
        head = self._head
        features_BKC = head.features(batch.images_B1HWD, batch.keep_BK)
        found, where, nowhere, aligned = [], [], [], []
        scale = head.log_scale.exp()
        for features_KC, words, target_SK, meaning_S in zip(
            features_BKC, batch.embeddings, batch.targets, batch.meanings, strict=True
        ):
            sentences_SC = head.model.project(words)
            cosine_SK = _cosine(sentences_SC, features_KC)
            logits_SK = scale * cosine_SK + head.offset
            there = target_SK.amax(1) > 0
            if there.any():
                found.append(_balanced(logits_SK[there], target_SK[there]))
                where.append(_where(2 * logits_SK[there], target_SK[there]))
                aligned.append(
                    _aligned(features_KC, sentences_SC, cosine_SK, there, meaning_S, head.model.config.top_k)
                )
            if not there.all():
                top = logits_SK[~there].topk(min(16, logits_SK.shape[1]), dim=1).values
                nowhere.append(F.softplus(top).mean(1) + F.softplus(logits_SK[~there]).mean(1))
        terms = {name: _mean(values) for name, values in
                 {"found": found, "where": where, "nowhere": nowhere, "aligned": aligned}.items()}  # fmt: skip
        return {
            "loss": terms["found"]
            + 0.5 * (terms["where"] + terms["nowhere"])
            + self._settings.align_weight * terms["aligned"],
            **terms,
            "scale": scale.detach(),
        }

    def measure(self) -> dict[str, float]:
        """Hits, sides and separation on the held-out samples."""
        answers = []
        for path in self._held_out:
            sample = load_sample(path)
            frame = intensities(sample.image, self._config.frame.hu_window, self._config.vision.image)
            features_NC = self._head.features(frame[None], None)[0]
            words = torch.stack([self._embeddings[t.text] for t in sample.truths])
            cosine_SN = _cosine(self._head.model.project(words), features_NC)
            for truth, cosine_N in zip(sample.truths, cosine_SN.numpy(), strict=True):
                grid = self._config.vision.grid
                answers.append(Answer(truth, cosine_N, patch_shares(truth, grid), grid))
        return summarise(answers)

    def grounding_model(self) -> GroundingModel:
        """What was learned."""
        return self._head.model

    @property
    def _head(self) -> GroundingHead:
        assert isinstance(self.module, GroundingHead)
        return self.module


def _cosine(sentences_SC: Tensor, features_NC: Tensor) -> Tensor:
    """(S, N) cosines, in float32 also where autocast would take fewer bits."""
    with torch.autocast("cpu", enabled=False):
        return F.normalize(sentences_SC.float(), dim=-1) @ F.normalize(features_NC.float(), dim=-1).T


def _chosen(truths: Sequence[Truth], most: tuple[int, int, int], rng: np.random.Generator) -> list[Truth]:
    chosen: list[Truth] = []
    for names, count in zip((POINTING, _NOWHERE, _REGIONS), most, strict=True):
        group = [t for t in truths if t.polarity in names]
        chosen += [group[i] for i in rng.permutation(len(group))[:count]]
    assert chosen, "every scan has a sentence"
    return chosen


def _meanings(truths: Sequence[Truth]) -> Tensor:
    """(S,) numbers that sentences about the same thing in the same place share."""
    numbers: dict[tuple[object, ...], int] = {}
    keys = [(t.topic, t.side, t.lobe, t.polarity in _NOWHERE, t.cells.tobytes()) for t in truths]
    return torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys])


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


def _aligned(
    features_KC: Tensor, sentences_SC: Tensor, cosine_SK: Tensor, there: Tensor, meaning_S: Tensor, top_k: int
) -> Tensor:
    """Contrast of regions with sentences, both ways summed (paper Eq. 2 to 4).

    A sentence's region is the mean of its top-K patches. It has to be nearer to its own sentence than to all others,
    those that point nowhere among them; sentences that mean the same do not repel.
    """
    chosen = cosine_SK[there].detach().topk(min(top_k, cosine_SK.shape[1]), dim=1).indices
    logits_RS = _cosine(features_KC[chosen].mean(1), sentences_SC) / _TEMPERATURE
    own = torch.nonzero(there)[:, 0]
    same_RS = meaning_S[own][:, None] == meaning_S[None, :]
    same_RS[torch.arange(len(own)), own] = False
    to_sentences = F.cross_entropy(logits_RS.masked_fill(same_RS, -torch.inf), own)
    to_regions = F.cross_entropy(logits_RS.masked_fill(same_RS, -torch.inf)[:, own].T, torch.arange(len(own)))
    return to_sentences + to_regions


def _where(logits_SK: Tensor, target_SK: Tensor) -> Tensor:
    """Cross-entropy of a softmax over patches against the sentence's claim, less the least it can be."""
    wanted = target_SK / target_SK.sum(1, keepdim=True)
    least = -(wanted * wanted.clamp(min=1e-9).log()).sum(1)
    return (-(wanted * logits_SK.log_softmax(1)).sum(1) - least).mean()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack([v.mean() for v in values]).mean() if values else torch.zeros(())
