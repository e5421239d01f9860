"""How sure a figure is: areas under the curve by label with intervals, and whether two models differ.

Intervals are percentiles of a bootstrap that draws patients, not scans: two scans of one patient are no two witnesses.
Definitions and sources: docs/benchmarks/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_score, recall_score

from simcrop_training.datasets.labelled import UNKNOWN

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

ROUNDS = 1000
_OUTER = (2.5, 97.5)
# Thresholds that published tables choose from.
_CANDIDATES = np.linspace(0.0, 1.0, 100)


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the 95 % interval around it; all three NaN where there was nothing to measure."""

    mean: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label of a table.

    Attributes:
        label: its name.
        n_pos: scans with it.
        n_neg: scans without it; those of which nobody knows are in neither.
        auroc: area under the ROC curve; NaN where all known scans have the label or none has.
        lo95: of its interval; `hi95` likewise.
        f1: weighted over both classes, at `threshold`, as the four behind it: accuracy, precision, sensitivity,
            specificity.
        threshold: a probability.
    """

    label: str
    n_pos: int
    n_neg: int
    auroc: float
    lo95: float
    hi95: float
    f1: float
    acc: float
    prec: float
    sens: float
    spec: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Labels:
    """A table by label and the mean over those that have an area.

    Attributes:
        rows: one a label, in the order of the labels.
        macro: unweighted mean of the areas, its interval from the same draws of patients for all labels.
        counted: over how many labels.
    """

    rows: tuple[LabelRow, ...]
    macro: Interval
    counted: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One model less another on the same scans.

    Attributes:
        by: the difference and its interval.
        p: two-sided, from the share of draws on the other side of 0; never below 1 / (rounds + 1).
    """

    by: Interval
    p: float


def label_rows(
    labels: Sequence[str],
    probabilities_BL: Floats,
    truth_BL: Ints,
    patients: Sequence[str],
    *,
    thresholds: Sequence[float] | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Labels:
    """Every label's row, and their mean.

    Args:
        labels: names.
        probabilities_BL: 0…1; a scan whose probability is NaN counts as unknown.
        truth_BL: 1, 0, or −1 where nobody knows.
        patients: whose each scan is.
        thresholds: of each label, from other scans; without, each label's nearest to the corner of its own ROC curve,
            which is what published tables do and flatters.
        rounds: of the bootstrap.
        seed: of its draws.

    Raises:
        ValueError: shapes differ.
    """
    if probabilities_BL.shape != truth_BL.shape or probabilities_BL.shape != (len(patients), len(labels)):
        raise ValueError(f"{probabilities_BL.shape} scores, {truth_BL.shape} truths, {len(patients)} scans.")
    weights_RB = drawn(patients, rounds, seed)
    rows, areas_LR = [], []
    for index, label in enumerate(labels):
        known_B = (truth_BL[:, index] != UNKNOWN) & np.isfinite(probabilities_BL[:, index])
        scores, there = probabilities_BL[known_B, index], truth_BL[known_B, index] == 1
        areas_R = weighted_aurocs(scores, there, weights_RB[:, known_B])
        areas_LR.append(areas_R)
        threshold = corner(scores, there) if thresholds is None else thresholds[index]
        rows.append(_row(label, scores, there, areas_R, threshold))
    areas = [row.auroc for row in rows if not math.isnan(row.auroc)]
    return Labels(tuple(rows), _around(_mean(areas), _mean_over_labels(np.array(areas_LR))), len(areas))


def bootstrap_mean(values: Floats, patients: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0) -> Interval:
    """The mean of what is no NaN, and its interval.

    Args:
        values: (B,) one a scan or sentence.
        patients: whose each is.
        rounds: of the bootstrap.
        seed: of its draws.
    """
    known_B = np.isfinite(values)
    if not known_B.any():
        return Interval(math.nan, math.nan, math.nan)
    return _around(float(values[known_B].mean()), _weighted_means(values, known_B, drawn(patients, rounds, seed)))


def compare_means(
    first_B: Floats, second_B: Floats, patients: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0
) -> Difference:
    """First less second, value by value; pairs of which one is NaN are left out."""
    gain_B = np.asarray(first_B, dtype=np.float64) - second_B
    known_B = np.isfinite(gain_B)
    if not known_B.any():
        return Difference(Interval(math.nan, math.nan, math.nan), math.nan)
    return _difference(float(gain_B[known_B].mean()), _weighted_means(gain_B, known_B, drawn(patients, rounds, seed)))


def compare_aurocs(
    first_BL: Floats,
    second_BL: Floats,
    truth_BL: Ints,
    patients: Sequence[str],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Difference:
    """First less second, of the mean area over the labels that both can be measured on; the same draws for both."""
    weights_RB = drawn(patients, rounds, seed)
    areas: list[list[Floats]] = [[], []]
    points: list[list[float]] = [[], []]
    for index in range(truth_BL.shape[1]):
        known_B = (truth_BL[:, index] != UNKNOWN) & np.isfinite(first_BL[:, index]) & np.isfinite(second_BL[:, index])
        there = truth_BL[known_B, index] == 1
        for model, scores_BL in enumerate((first_BL, second_BL)):
            point = float(weighted_aurocs(scores_BL[known_B, index], there, np.ones((1, int(known_B.sum()))))[0])
            if not math.isnan(point):
                points[model].append(point)
                areas[model].append(weighted_aurocs(scores_BL[known_B, index], there, weights_RB[:, known_B]))
    if not points[0]:
        return Difference(Interval(math.nan, math.nan, math.nan), math.nan)
    moved_R = _mean_over_labels(np.array(areas[0])) - _mean_over_labels(np.array(areas[1]))
    return _difference(_mean(points[0]) - _mean(points[1]), moved_R)


def drawn(patients: Sequence[str], rounds: int, seed: int) -> NDArray[np.int64]:
    """(R, B) how often each scan is in each draw of as many patients as there are, with replacement."""
    _, patient_B = np.unique(np.asarray(patients), return_inverse=True)
    count = int(patient_B.max()) + 1 if len(patient_B) else 0
    if count == 0:
        return np.zeros((rounds, 0), dtype=np.int64)
    times_RP = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=rounds)
    weights_RB: NDArray[np.int64] = times_RP[:, patient_B].astype(np.int64)
    return weights_RB


def weighted_aurocs(scores_B: Floats, there_B: NDArray[np.bool_], weights_RB: Floats | Ints) -> Floats:
    """(R,) area under the ROC curve with each scan counted so many times, ties half; NaN without both classes."""
    if len(scores_B) == 0:
        return np.full(len(weights_RB), np.nan)
    order = np.argsort(scores_B, kind="stable")
    ranked = scores_B[order]
    begins = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    weights_RB = weights_RB[:, order].astype(np.float64)
    positive_RG = np.add.reduceat(weights_RB * there_B[order], begins, axis=1)
    negative_RG = np.add.reduceat(weights_RB * ~there_B[order], begins, axis=1)
    below_RG = np.cumsum(negative_RG, axis=1) - negative_RG / 2
    pairs_R = positive_RG.sum(axis=1) * negative_RG.sum(axis=1)
    wins_R = (positive_RG * below_RG).sum(axis=1)
    areas_R: Floats = np.divide(wins_R, pairs_R, out=np.full(len(pairs_R), np.nan), where=pairs_R > 0)
    return areas_R


def corner(probabilities_B: Floats, there_B: NDArray[np.bool_]) -> float:
    """Of 100 thresholds the one whose point of the ROC curve is nearest to no error; NaN without both classes."""
    positives, negatives = probabilities_B[there_B], probabilities_B[~there_B]
    if len(positives) == 0 or len(negatives) == 0:
        return math.nan
    missed = np.searchsorted(np.sort(positives), _CANDIDATES, side="left") / len(positives)
    alarmed = 1 - np.searchsorted(np.sort(negatives), _CANDIDATES, side="left") / len(negatives)
    return float(_CANDIDATES[np.hypot(missed, alarmed).argmin()])


def _row(label: str, scores: Floats, there: NDArray[np.bool_], areas_R: Floats, threshold: float) -> LabelRow:
    positives = int(there.sum())
    area = float(weighted_aurocs(scores, there, np.ones((1, len(scores))))[0])
    around = _around(area, areas_R)
    called = scores >= threshold
    rates = (math.nan,) * 5
    if 0 < positives < len(there) and not math.isnan(threshold):
        rates = (
            float(f1_score(there, called, average="weighted", zero_division=0)),
            float((there == called).mean()),
            float(precision_score(there, called, zero_division=0)),
            float(recall_score(there, called)),
            float(recall_score(~there, ~called)),
        )
    return LabelRow(label, positives, len(there) - positives, area, around.lo, around.hi, *rates, threshold)


def _weighted_means(values_B: Floats, known_B: NDArray[np.bool_], weights_RB: Ints) -> Floats:
    weights_RK = weights_RB[:, known_B]
    counts_R = weights_RK.sum(axis=1)
    sums_R = weights_RK @ np.asarray(values_B, dtype=np.float64)[known_B]
    means_R: Floats = np.divide(sums_R, counts_R, out=np.full(len(counts_R), np.nan), where=counts_R > 0)
    return means_R


def _mean_over_labels(areas_LR: Floats) -> Floats:
    """(R,) mean over the labels that a draw has an area of."""
    known_LR = np.isfinite(areas_LR)
    counts_R = known_LR.sum(axis=0)
    sums_R = np.where(known_LR, areas_LR, 0).sum(axis=0)
    means_R: Floats = np.divide(sums_R, counts_R, out=np.full(areas_LR.shape[1], np.nan), where=counts_R > 0)
    return means_R


def _around(mean: float, drawn_R: Floats) -> Interval:
    known = drawn_R[np.isfinite(drawn_R)]
    if math.isnan(mean) or not known.size:
        return Interval(mean, math.nan, math.nan)
    lo, hi = np.percentile(known, _OUTER)
    return Interval(mean, float(lo), float(hi))


def _difference(gain: float, drawn_R: Floats) -> Difference:
    known = drawn_R[np.isfinite(drawn_R)]
    if not known.size:
        return Difference(Interval(gain, math.nan, math.nan), math.nan)
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return Difference(_around(gain, drawn_R), min(1.0, 2 * (int(tail) + 1) / (len(known) + 1)))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
