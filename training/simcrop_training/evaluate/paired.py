"""Models set against each other on the scans that both were asked about (docs/benchmarks/statistics.md)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simcrop_training.evaluate.probing.scored import Predictions, on_common_scans
from simcrop_training.evaluate.statistics import ROUNDS, Difference, compare_aurocs, compare_means
from simcrop_training.evaluate.written import head, line


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models.

    Attributes:
        first: its name.
        second: its name.
        scans: that both were asked about.
        less: first less second, in the mean area over labels or in accuracy, with its interval by patients.
    """

    first: str
    second: str
    scans: int
    less: Difference


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A model and what it said of the test scans."""

    name: str
    answers: Predictions


def paired(first: Answered, second: Answered, labels: int, *, classes: bool = False, rounds: int = ROUNDS) -> Pair:
    """The same draws of patients for both.

    Args:
        first: a model.
        second: another.
        labels: how many, or how many classes.
        classes: whether scans have one class; then accuracies are compared.
        rounds: of the bootstrap.
    """
    scores, truth_BL = on_common_scans({"first": first.answers, "second": second.answers}, labels)
    common = set(first.answers.names) & set(second.answers.names)
    whose = zip(first.answers.names, first.answers.patients, strict=True)
    patients = [patient for name, patient in whose if name in common]
    if classes:
        true_B = truth_BL.argmax(axis=1)
        right = [np.where(np.isfinite(s).all(axis=1), s.argmax(axis=1) == true_B, np.nan) for s in scores.values()]
        less = compare_means(right[0], right[1], patients, rounds=rounds)
    else:
        less = compare_aurocs(scores["first"], scores["second"], truth_BL, patients, rounds=rounds)
    return Pair(first.name, second.name, len(patients), less)


def every_pair(answered: Sequence[Answered], labels: int, *, classes: bool = False, rounds: int = ROUNDS) -> list[Pair]:
    """Each model with each that stands behind it; of models that share a name the first is taken."""
    by_name: dict[str, Answered] = {}
    for one in answered:
        by_name.setdefault(one.name, one)
    return [
        paired(one, other, labels, classes=classes, rounds=rounds)
        for one, other in itertools.combinations(by_name.values(), 2)
    ]


def pairs_table(pairs: Sequence[Pair], metric: str) -> list[str]:
    """Lines of Markdown; none where there is no pair."""
    if not pairs:
        return []
    lines = head(["model", "less", f"{metric}, difference", "p", "scans"])
    for pair in pairs:
        by = pair.less.by
        difference = f"{by.mean:+.3f} ({by.lo:+.3f} to {by.hi:+.3f})" if np.isfinite(by.mean) else "–"
        p = f"{pair.less.p:.3f}" if np.isfinite(pair.less.p) else "–"
        lines.append(line([pair.first, pair.second, difference, p, str(pair.scans)]))
    return [
        *lines,
        "",
        "On the same scans, the same draws of patients for both; p is not corrected for many pairs.",
        "",
    ]
