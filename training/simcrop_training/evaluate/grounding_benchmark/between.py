"""Models set against each other, sentence by sentence (docs/benchmarks/grounding.md)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simcrop_training.evaluate.grounding_benchmark.controls import MODEL
from simcrop_training.evaluate.grounding_benchmark.measure import Figures
from simcrop_training.evaluate.grounding_benchmark.tables import COMPARED, HEADS, Asked, difference_cell
from simcrop_training.evaluate.statistics import ROUNDS, Difference, compare_means
from simcrop_training.evaluate.written import head, line

METRICS = ("dice", "hit", *COMPARED)


@dataclass(frozen=True, slots=True)
class Versus:
    """Two models.

    Attributes:
        first: its name.
        second: its name.
        sentences: with a mask, that both were asked.
        less: first less second, by metric, with its interval by patients.
    """

    first: str
    second: str
    sentences: int
    less: dict[str, Difference]


def every_two(asked: Mapping[str, Sequence[Asked]], *, rounds: int = ROUNDS) -> list[Versus]:
    """Each model with each that stands behind it.

    Args:
        asked: sentences by model; those of a scan in one order.
        rounds: of the bootstrap.
    """
    rows = {name: _by_sentence(its) for name, its in asked.items()}
    return [_versus(one, other, rows[one], rows[other], rounds) for one, other in itertools.combinations(rows, 2)]


def markdown(found: Sequence[Versus]) -> str:
    """One table; empty where there was one model alone."""
    if not found:
        return ""
    lines = ["## Models in pairs", "", *head(["model", "less", "sentences", *(HEADS[key] for key in METRICS)])]
    for two in found:
        cells = [difference_cell(two.less[key], key) for key in METRICS]
        lines.append(line([two.first, two.second, str(two.sentences), *cells]))
    return "\n".join([*lines, "", "On the same sentences; p is not corrected for many pairs and columns.", ""])


def _by_sentence(asked: Sequence[Asked]) -> dict[tuple[str, int], tuple[str, Figures]]:
    """Patient and figures by scan and place in it; a scan may have the same words twice."""
    seen: Counter[str] = Counter()
    rows = {}
    for one in asked:
        if one.measured.rows:
            rows[one.scan, seen[one.scan]] = one.patient, one.measured.rows[MODEL]
        seen[one.scan] += 1
    return rows


def _versus(
    first: str,
    second: str,
    ours: Mapping[tuple[str, int], tuple[str, Figures]],
    theirs: Mapping[tuple[str, int], tuple[str, Figures]],
    rounds: int,
) -> Versus:
    common = [key for key in ours if key in theirs]
    patients = [ours[key][0] for key in common]
    less = {}
    for metric in METRICS:
        one, other = (
            np.array([rows[key][1].get(metric, math.nan) for key in common], dtype=np.float64)
            for rows in (ours, theirs)
        )
        less[metric] = compare_means(one, other, patients, rounds=rounds)
    return Versus(first, second, len(common), less)
