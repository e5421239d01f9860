"""Supervised grounding: each sentence is taught which patches it means, and that absent things are nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.inference.embed import mean_direction
from simcrop_core.models.config import ModelConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.frames import intensities, patch_shares, picked
from simcrop_training.data.redraw import redrawn
from simcrop_training.data.sample import Sample, Truth, load_sample
from simcrop_training.objectives.grounding_losses import across, aligned, balanced, cosine, nowhere, where
from simcrop_training.objectives.grounding_metrics import Answer, summarise

# Sentences that point at something, that point nowhere, and that name a region; others teach nothing here.
POINTING, _NOWHERE, REGIONS = ("positive", "uncertain"), ("absent", "negated"), ("anatomy", "normal")
# Findings that stand out against their surroundings whatever densities a frame is drawn anew with.
_SEEN_REDRAWN = ("mass", "nodule", "consolidation", "pleural effusion")


Topic = tuple[str, str]


@dataclass(frozen=True, slots=True)
class GroundingSettings:
    """Attributes of the objective.

    Attributes:
        batch: frames a step.
        sentences: at most so many of each frame: pointing at a finding, at nothing, at an organ or region.
        keep: share of patches encoded in a step; those a finding lies in are always among them.
        all_from: share of the schedule's steps after which all patches are encoded.
        real_rate: share of frames from real scans.
        redrawn_rate: share of frames whose densities are drawn anew from their labels (`data.redraw`).
        word_noise: noise on sentence embeddings, relative to their spread.
        short_rate: share of the sentences that are asked in their short form; above 0 the weights read both.
        align_weight: of the contrasts: a region with the other sentences of its scan, a sentence with other scans.
    """

    batch: int = 8
    sentences: tuple[int, int, int] = (10, 12, 8)
    keep: float = 0.3
    all_from: float = 0.9
    real_rate: float = 0.35
    redrawn_rate: float = 0.0
    word_noise: float = 0.1
    short_rate: float = 0.0
    align_weight: float = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is asked of one frame.

    Attributes:
        embeddings_SC: sentences, text width.
        target_SK: share to which each kept patch belongs to each sentence, 0…1.
        meaning_S: one number a sentence, the same for sentences about the same thing in the same place.
        findings: rows of the sentences that point at a finding.
        topics: what each of these is about.
        present: all that was found in the frame.
    """

    embeddings_SC: Tensor
    target_SK: Tensor
    meaning_S: Tensor
    findings: list[int]
    topics: list[Topic]
    present: frozenset[Topic]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A batch: intensities in −1…1, the indices of the patches to encode, and what is asked of each frame."""

    images_B1HWD: Tensor
    keep_BK: Tensor
    asked: list[Asked]


class GroundingHead(nn.Module):
    """The model with what turns a cosine into a logit: a scale, an offset, and how often a sentence is true at all.

    The last is there so that cosines need not say it: what they say of a sentence is then what the scan shows. Only the
    model is exported.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.model = GroundingModel(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.offset = nn.Parameter(torch.tensor(-3.0))
        self.prior = nn.Linear(config.text.dim, 1, bias=False)
        nn.init.zeros_(self.prior.weight)

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
        embeddings: of every sentence in them and of its short form, (text width,).
        short: the short form of every sentence that is asked in it; needed where `settings.short_rate` is above 0.
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
        short: Mapping[str, str] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        torch.manual_seed(seed)
        config = replace(config, text=replace(config.text, short_forms=settings.short_rate > 0))
        self.module: nn.Module = GroundingHead(config)
        self._config, self._settings = config, settings
        self._synthetic, self._real, self._held_out = list(synthetic), list(real), list(held_out)
        self._embeddings, self._steps, self._seed = embeddings, steps, seed
        self._short = short or {}
        self._augmentation = augmentation or Augmentation()
        self._spread = torch.stack(list(embeddings.values())[:500]).std(0)

    def batch(self, step: int) -> Frames:
        """The frames of one step."""
        size, tokens = self._settings.batch, self._config.vision.tokens
        kept = tokens if step >= self._settings.all_from * self._steps else round(tokens * self._settings.keep)
        low_high, shape, grid = self._config.frame.hu_window, self._config.vision.image, self._config.vision.grid
        images, keeps, asked = [], [], []
        for ordinal in range(step * size, (step + 1) * size):
            rng = np.random.default_rng([self._seed, ordinal])
            path = picked(
                ordinal, rng, synthetic=self._synthetic, real=self._real, real_rate=self._settings.real_rate,
                seed=self._seed,
            )  # fmt: skip
            sample = load_sample(path)
            if self._settings.redrawn_rate > 0 and rng.random() < self._settings.redrawn_rate:
                sample = _redrawn(sample, rng)
            sample = augmented(sample, self._augmentation, rng)
            truths = _chosen(sample.truths, self._settings.sentences, rng)
            target_SN = np.stack([patch_shares(t, grid) for t in truths])
            keep = _kept(rng, kept, target_SN, [t.polarity in POINTING for t in truths])
            images.append(intensities(sample.image, low_high, shape))
            keeps.append(torch.from_numpy(keep))
            asked.append(self._asked(sample, truths, target_SN[:, keep], rng))
        return Frames(torch.stack(images), torch.stack(keeps), asked)

    def losses(self, batch: Frames) -> dict[str, Tensor]:
        """The terms of `grounding_losses`, each a mean over frames, and their weighted sum."""
        head = self._head
        top_k = head.model.config.top_k
        features_BKC = head.features(batch.images_B1HWD, batch.keep_BK)
        words_SC = torch.cat([asked.embeddings_SC for asked in batch.asked])
        counts = [len(asked.embeddings_SC) for asked in batch.asked]
        sentences, priors = head.model.project(words_SC).split(counts), head.prior(words_SC).split(counts)
        terms: dict[str, list[Tensor]] = {"found": [], "where": [], "nowhere": [], "aligned": [], "across": []}
        scale = head.log_scale.exp()
        for asked, features_KC, sentences_SC, prior_S1 in zip(
            batch.asked, features_BKC.unbind(), sentences, priors, strict=True
        ):
            cosine_SK = cosine(sentences_SC, features_KC)
            logits_SK = scale * cosine_SK + head.offset + prior_S1.float()
            there = asked.target_SK.amax(1) > 0
            if there.any():
                terms["found"].append(balanced(logits_SK[there], asked.target_SK[there]))
                terms["where"].append(where(2 * logits_SK[there], asked.target_SK[there]))
                terms["aligned"].append(aligned(features_KC, sentences_SC, cosine_SK, there, asked.meaning_S, top_k))
            if not there.all():
                terms["nowhere"].append(nowhere(logits_SK[~there]))
        if len(batch.asked) > 1:
            terms["across"] += _between_scans(batch.asked, features_BKC, sentences, top_k)
        means = {name: _mean(values) for name, values in terms.items()}
        contrasts = self._settings.align_weight * (means["aligned"] + means["across"])
        loss = means["found"] + 0.5 * (means["where"] + means["nowhere"]) + contrasts
        return {"loss": loss, **means, "scale": scale.detach()}

    def measure(self) -> dict[str, float]:
        """Hits, sides and separation on the held-out samples."""
        answers = []
        for path in self._held_out:
            sample = load_sample(path)
            frame = intensities(sample.image, self._config.frame.hu_window, self._config.vision.image)
            features_NC = self._head.features(frame[None], None)[0]
            cosine_SN = cosine(self._projected(sample.truths), features_NC)
            for truth, cosine_N in zip(sample.truths, cosine_SN.numpy(), strict=True):
                grid = self._config.vision.grid
                answers.append(Answer(truth, cosine_N, patch_shares(truth, grid), grid))
        return summarise(answers)

    def _asked(
        self, sample: Sample, truths: Sequence[Truth], target_SK: NDArray[np.float32], rng: np.random.Generator
    ) -> Asked:
        words_SC = torch.stack([self._embeddings[t.text] for t in truths])
        noise_SC = torch.from_numpy(rng.standard_normal(words_SC.shape, dtype=np.float32))
        if self._settings.short_rate > 0:
            asked_short = rng.random(len(truths)) < self._settings.short_rate
            words_SC = torch.where(torch.from_numpy(asked_short)[:, None], self._in_short(truths), words_SC)
        findings = [s for s, t in enumerate(truths) if t.polarity in POINTING and target_SK[s].max() > 0]
        return Asked(
            embeddings_SC=words_SC + self._settings.word_noise * self._spread * noise_SC,
            target_SK=torch.from_numpy(target_SK),
            meaning_S=_meanings(truths),
            findings=findings,
            topics=[(truths[s].topic, truths[s].side) for s in findings],
            present=frozenset((t.topic, t.side) for t in sample.truths if t.polarity in POINTING),
        )

    def _in_short(self, truths: Sequence[Truth]) -> Tensor:
        """(S, text width) embeddings of short forms; of a sentence without one, its own."""
        return torch.stack([self._embeddings[self._short.get(t.text, t.text)] for t in truths])

    def _projected(self, truths: Sequence[Truth]) -> Tensor:
        """(S, C) sentences in the patch space, as the weights will read them."""
        model = self._head.model
        words_SC = model.project(torch.stack([self._embeddings[t.text] for t in truths]))
        if not model.config.text.short_forms:
            return words_SC
        return mean_direction(words_SC, model.project(self._in_short(truths)))

    def grounding_model(self) -> GroundingModel:
        """What was learned."""
        return self._head.model

    @property
    def _head(self) -> GroundingHead:
        assert isinstance(self.module, GroundingHead)
        return self.module


def _redrawn(sample: Sample, rng: np.random.Generator) -> Sample:
    """A sample with new densities, and the sentences that it still bears out."""
    truths = tuple(t for t in sample.truths if t.polarity not in POINTING or t.topic in _SEEN_REDRAWN)
    return redrawn(replace(sample, truths=truths), rng)


def _chosen(truths: Sequence[Truth], most: tuple[int, int, int], rng: np.random.Generator) -> list[Truth]:
    chosen: list[Truth] = []
    for names, count in zip((POINTING, _NOWHERE, REGIONS), most, strict=True):
        # A finding beyond the field of view has a sentence and no place.
        group = [t for t in truths if t.polarity in names and (t.cells.size > 0) == (names != _NOWHERE)]
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


def _alike(topic: Topic, present: frozenset[Topic]) -> bool:
    """Whether something of this kind was found in a scan, on this side or on no side in particular."""
    kind, side = topic
    return any(k == kind and (not side or not s or s == side) for k, s in present)


def _between_scans(
    asked: Sequence[Asked], features_BKC: Tensor, sentences: Sequence[Tensor], top_k: int
) -> list[Tensor]:
    """The contrast of every sentence that points at a finding with the other scans; none where there is no such one."""
    topics = [topic for scan in asked for topic in scan.topics]
    if not topics:
        return []
    alike_FB = torch.tensor([[_alike(topic, scan.present) for scan in asked] for topic in topics])
    own_F = torch.tensor([own for own, scan in enumerate(asked) for _ in scan.topics])
    findings_FC = torch.cat([words_SC[scan.findings] for scan, words_SC in zip(asked, sentences, strict=True)])
    return [across(features_BKC, findings_FC, alike_FB, own_F, top_k)]


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack([v.mean() for v in values]).mean() if values else torch.zeros(())
