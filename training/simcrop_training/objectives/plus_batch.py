"""What `simcrop_plus` knows of a micro-batch besides images and sentences: topics, weights, rivals, places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_training.data.frames import patch_shares
from simcrop_training.data.sample import Truth
from simcrop_training.data.source import Pair
from simcrop_training.objectives.grounding import POINTING
from simcrop_training.objectives.hard_negatives import rivals_of
from simcrop_training.objectives.pairs import Pairs, number_of
from simcrop_training.objectives.sentence_topics import topic_of

_NOWHERE = ("absent", "negated")
NONE = -1

Embed = Callable[[str], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """What the sentences of a micro-batch say.

    Attributes:
        weights_BS: of the sentences that take part, 0 for padding.
        repels_BSS: pairs of sentences that do not say the same.
        asserted_F: places in B × S of the sentences that assert a finding.
        claims_F3: of these the number of the text, the kinds and the sides.
        said_M3: the same of all sentences of the reports; no kinds where they assert none.
        study_M: the frame of each.
        findings_B: a number a report, the same where the same kinds are asserted on the same sides.
    """

    weights_BS: Tensor
    repels_BSS: Tensor
    asserted_F: Tensor
    claims_F3: Tensor
    said_M3: Tensor
    study_M: Tensor
    findings_B: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Rivals:
    """Sentences that are not true of the reports.

    Attributes:
        embeddings_BRC: padded.
        there_BR: false for padding.
        of_F2: places in B × R of the first two rivals of each asserted sentence; −1 for none.
    """

    embeddings_BRC: Tensor
    there_BR: Tensor
    of_F2: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Sentences whose place is known, of all frames of a micro-batch.

    Attributes:
        embeddings_TC: theirs.
        frame_T: the frame each is about.
        target_TK: share to which each visible patch belongs to each.
        pointing_P: rows of those that point at visible patches.
        nowhere_Q: rows of those that point nowhere.
    """

    embeddings_TC: Tensor
    frame_T: Tensor
    target_TK: Tensor
    pointing_P: Tensor
    nowhere_Q: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PlusPairs(Pairs):
    """A micro-batch of `simcrop_plus`.

    Attributes:
        claims: what is said.
        rivals: what could be said and is not true.
        places: where it is.
        softness: of the selection of patches.
        selecting: 0 before anything that selects patches is learned, then 1.
    """

    claims: Claims
    rivals: Rivals
    places: Places
    softness: float
    selecting: float


class SentenceWeights:
    """Weights that fall with the number of reports a sentence stands in: (1 / reports) to some power.

    The numbers are counted once, over all reports of the source that is learned from. So a weight is a function of the
    data alone. In a report weights are divided by their mean.

    Args:
        reports: the sentences of every report.
        power: 0 weighs all alike.
    """

    def __init__(self, reports: Iterable[Sequence[str]], power: float) -> None:
        self._power = power
        self._reports = Counter(text for report in reports for text in set(report)) if power else Counter[str]()

    def of(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(S,) weights of the sentences of one report, 1 on average."""
        counts = np.array([max(self._reports[text], 1) for text in sentences], np.float64)
        weights = counts**-self._power
        return (weights / weights.mean()).astype(np.float32) if len(weights) else weights.astype(np.float32)


def claims_of(
    pairs: Sequence[Pair], chosen: Sequence[Sequence[int]], width: int, weights: SentenceWeights, *, label_aware: bool
) -> Claims:
    """What reports and the sentences chosen from them say.

    Args:
        pairs: with their reports.
        chosen: rows of the sentences that take part.
        width: S.
        weights: of sentences.
        label_aware: whether sentences of one topic count as the same; otherwise only identical ones.
    """
    weights_BS = torch.zeros(len(pairs), width)
    repels_BSS = torch.zeros(len(pairs), width, width, dtype=torch.bool)
    asserted, claims, said, study = list[int](), list[list[int]](), list[list[int]](), list[int]()
    findings = []
    for b, (pair, rows) in enumerate(zip(pairs, chosen, strict=True)):
        texts = [pair.sentences[row] for row in rows]
        topics = [topic_of(text) for text in texts]
        weights_BS[b, : len(rows)] = torch.from_numpy(weights.of(texts))
        for s, (text, topic) in enumerate(zip(texts, topics, strict=True)):
            for r in range(s):
                same = text == texts[r] or (label_aware and topic.alike(topics[r]))
                repels_BSS[b, s, r] = repels_BSS[b, r, s] = not same
            if topic.asserted and text not in texts[:s]:
                asserted.append(b * width + s)
                claims.append(_claim(text, label_aware=label_aware))
        said += [_claim(text, label_aware=label_aware) for text in pair.sentences]
        study += [b] * len(pair.sentences)
        found = sorted({(t.kinds, t.sides) for t in map(topic_of, pair.sentences) if t.asserted})
        findings.append(number_of(str(found) if label_aware else pair.findings + "\n" + pair.impression))
    return Claims(
        weights_BS, repels_BSS, _longs(asserted), _longs(claims).view(-1, 3), _longs(said).view(-1, 3),
        _longs(study), _longs(findings),
    )  # fmt: skip


def rivals_in(
    pairs: Sequence[Pair], chosen: Sequence[Sequence[int]], claims: Claims, embed: Embed, most: int,
    draws: Sequence[np.random.Generator], width: int,
) -> Rivals:  # fmt: skip
    """The rivals of the chosen sentences.

    Args:
        pairs: with their reports.
        chosen: rows of the sentences that take part.
        claims: what they say.
        embed: the frozen text tower.
        most: of one report, drawn at random where there are more.
        draws: random numbers of each report.
        width: of an embedding.
    """
    found = []
    for pair, rows, rng in zip(pairs, chosen, draws, strict=True):
        rivals = rivals_of([pair.sentences[row] for row in rows], pair.sentences) if most else []
        found.append([rivals[i] for i in sorted(rng.permutation(len(rivals))[:most].tolist())])
    widest, sentences = max(1, *map(len, found)), claims.weights_BS.shape[1]
    embeddings_BRC = torch.zeros(len(pairs), widest, width)
    there_BR = torch.zeros(len(pairs), widest, dtype=torch.bool)
    places: dict[int, list[int]] = {}
    for b, rivals in enumerate(found):
        for r, rival in enumerate(rivals):
            embeddings_BRC[b, r], there_BR[b, r] = embed(rival.text), True
            places.setdefault(b * sentences + rival.of, []).append(b * widest + r)
    of = [[*places.get(f, []), NONE, NONE][:2] for f in claims.asserted_F.tolist()]
    return Rivals(embeddings_BRC, there_BR, _longs(of).view(-1, 2))


def places_in(
    pairs: Sequence[Pair], keep_BK: Tensor, grid: tuple[int, int, int],
    embeddings: Mapping[str, NDArray[np.float32]], most: int, draws: Sequence[np.random.Generator], width: int,
) -> Places:  # fmt: skip
    """The sentences whose place is known, at most so many of each frame that point somewhere, and as many nowhere."""
    rows, targets, frames, pointing, nowhere = list[NDArray[np.float32]](), list[Tensor](), list[int](), [], []
    for b, (pair, rng) in enumerate(zip(pairs, draws, strict=True)):
        for truth in _asked(pair.truths if most else (), most, rng):
            target_K = torch.from_numpy(patch_shares(truth, grid))[keep_BK[b]]
            if truth.polarity in _NOWHERE:
                nowhere.append(len(rows))
            elif float(target_K.max()) > 0:
                pointing.append(len(rows))
            rows.append(embeddings[truth.text])
            targets.append(target_K)
            frames.append(b)
    return Places(
        torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, width),
        _longs(frames),
        torch.stack(targets) if targets else torch.zeros(0, keep_BK.shape[1]),
        _longs(pointing),
        _longs(nowhere),
    )


def _asked(truths: Sequence[Truth], most: int, rng: np.random.Generator) -> list[Truth]:
    there = [truth for truth in truths if truth.polarity not in _NOWHERE and truth.cells.size]
    # Findings first: organs are named in every sample.
    there.sort(key=lambda truth: truth.polarity not in POINTING)
    findings = sum(truth.polarity in POINTING for truth in there)
    places = [*rng.permutation(findings), *(findings + rng.permutation(len(there) - findings))]
    nowhere = [truth for truth in truths if truth.polarity in _NOWHERE]
    return [there[i] for i in places[:most]] + [nowhere[i] for i in rng.permutation(len(nowhere))[:most]]


def _claim(text: str, *, label_aware: bool) -> list[int]:
    topic = topic_of(text)
    return [number_of(text), topic.kinds if label_aware and topic.asserted else 0, topic.sides]


def _longs(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.long)
