"""The 18 CT-RATE labels on one scan, each scored by how its sentences fit against how their denials do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.inference.grounding import Similarity, heatmap_of
from simcrop_core.inference.sentences import SentenceReader
from simcrop_core.models.weights_metadata import Thresholds
from simcrop_core.results import FindingScore, FindingsResult, SentenceResult
from simcrop_core.text.findings import FindingSentences, finding_sentences


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFinding:
    """One finding on one scan.

    Attributes:
        score: in the contract's form.
        sentence: the result of its best sentence.
        heatmap: of that sentence.
    """

    score: FindingScore
    sentence: SentenceResult
    heatmap: Heatmap


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The answer for all labels: the result in the contract's form, and what draws it, a label each, in order."""

    result: FindingsResult
    sentences: list[SentenceResult]
    heatmaps: list[Heatmap]


def label_scores(excess_S: Tensor) -> dict[str, float]:
    """The score of every label, wherever its sentences are.

    Args:
        excess_S: of all sentences of `finding_sentences`: each label's positive, then its negated ones.
    """
    parts = excess_S.split(
        [len(part) for finding in finding_sentences() for part in (finding.positive, finding.negated)]
    )
    return {
        finding.label: float(positive.max() - negated.mean())
        for finding, positive, negated in zip(finding_sentences(), parts[::2], parts[1::2], strict=True)
    }


def score_findings(
    reader: SentenceReader,
    similarity: Similarity,
    reference_excess_R: Tensor,
    thresholds: Mapping[str, Thresholds],
) -> list[ScoredFinding]:
    """Score every label by its reference sentences (docs/findings.md).

    The score of a label is that of its best positive sentence less the mean of its negated ones. What counts of a
    sentence is its excess: by how much the cosine with the mean of its top-K patches (paper Eq. 3, 4;
    docs/methods/simcrop.md), or its prominence, is above what is usual for it.
    Positive sentences about a place outside the field of view do not count.

    Args:
        reader: of the scan.
        similarity: of all sentences of `finding_sentences` with the scan: each label's positive, then its negated ones.
        reference_excess_R: of the bank that ranks the sentences.
        thresholds: of a label's score; a label without has the evidence of its best sentence.

    Returns:
        One a label, in the order of `finding_sentences`.
    """
    rows = torch.arange(len(similarity.scores_S)).split(_sizes())
    return [
        _scored(
            reader,
            finding,
            similarity.rows(positive),
            similarity.rows(negated),
            reference_excess_R,
            thresholds.get(finding.label),
        )
        for finding, positive, negated in zip(finding_sentences(), rows[::2], rows[1::2], strict=True)
    ]


def _sizes() -> list[int]:
    """How many sentences each label has: positive, negated, the next label's positive, …."""
    return [len(part) for finding in finding_sentences() for part in (finding.positive, finding.negated)]


def _scored(
    reader: SentenceReader,
    finding: FindingSentences,
    positive: Similarity,
    negated: Similarity,
    reference_excess_R: Tensor,
    thresholds: Thresholds | None,
) -> ScoredFinding:
    sentences = reader.results(finding.positive, positive, reference_excess_R)
    placed = [i for i, sentence in enumerate(sentences) if sentence.peak_ras_mm is not None]
    assert placed, "the plain prompt names no place that could be outside the field of view"
    best = max(placed, key=lambda i: float(positive.excess_S[i]))
    score = round(float(positive.excess_S[best] - negated.excess_S.mean()), 4)
    heatmap = heatmap_of(positive.maps_SN[best], reader.features, finding.positive[best].text)
    sentence = sentences[best]
    if thresholds is not None:
        # The best of a dozen sentences passes a sentence's threshold too easily.
        sentence = replace(sentence, evidence=reader.evidence(positive, best, score, thresholds))
    return ScoredFinding(_contract(finding.label, score, sentence), sentence, heatmap)


def _contract(label: str, score: float, best: SentenceResult) -> FindingScore:
    return FindingScore(
        label=label,
        score=score,
        evidence=best.evidence,
        sentence=best.text,
        side=best.side,
        side_conflict=best.side_conflict,
        peak_ras_mm=best.peak_ras_mm,
        peak_ijk=best.peak_ijk,
        peak_patch_mm=best.peak_patch_mm,
    )
