"""How well sentences are grounded, by finding, beside guesses that do not look or do not read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from simcrop_training.evaluate.cases import Case
from simcrop_training.objectives.grounding import POINTING

ALL = "all"


@dataclass(frozen=True, slots=True)
class GroundingRow:
    """One kind of finding; rates 0…1.

    Attributes:
        finding: its kind, or "all".
        sentences: how many pointed at it.
        hit: the best patch holds part of what is meant (pointing game).
        chance: the same of any patch.
        lung_prior: of a random patch of lung.
        position_only: of the one patch that findings of the other scans fill most often; reads no sentence.
        text_only: of the patch that the sentence likes best on the mean of the other scans; sees no image.
        swapped: of the best patch on another scan.
        patch_auroc: area under the curve of patches with against patches without, sentence by sentence.
        side: the peak is on the named side; NaN where none is named.
        located: called `located`; `weak_or_located` likewise.
    """

    finding: str
    sentences: int
    hit: float
    chance: float
    lung_prior: float
    position_only: float
    text_only: float
    swapped: float
    patch_auroc: float
    side: float
    located: float
    weak_or_located: float


def grounding_rows(cases: Sequence[Case]) -> list[GroundingRow]:
    """A row of all findings together, then one a kind.

    Raises:
        ValueError: fewer than two scans with one tile: the controls need others.
    """
    cases = [case for case in cases if case.grid == cases[0].grid]
    if len(cases) < 2:
        raise ValueError("The controls need at least two scans.")
    columns: dict[str, list[float]] = defaultdict(list)
    topics: list[str] = []
    for index, case in enumerate(cases):
        others = _Others(cases, index)
        for s, statement in enumerate(case.statements):
            if statement.polarity in POINTING and case.there_SN[s].any():
                topics.append(statement.topic)
                for name, value in _measured(case, s, others).items():
                    columns[name].append(value)
    kinds = np.array(topics)
    rows = [_row(ALL, np.ones(len(kinds), dtype=bool), columns)]
    return rows + [_row(kind, kinds == kind, columns) for kind in sorted(set(topics))]


def silence(cases: Sequence[Case]) -> dict[str, float]:
    """Of sentences that point nowhere ("absent", "negated"), the share called `not located`, by polarity."""
    rates = {}
    for polarity in ("absent", "negated"):
        evidence = [
            result.evidence
            for case in cases
            for statement, result in zip(case.statements, case.results, strict=True)
            if statement.polarity == polarity and result.score is not None
        ]
        rates[polarity] = float(np.mean([e == "not located" for e in evidence])) if evidence else float("nan")
    return rates


def findings_auroc(cases: Sequence[Case]) -> dict[str, float]:
    """Area under the curve of each CT-RATE label's score; NaN where all scans have it or none has."""
    labels = list(cases[0].findings)
    return {
        label: auroc(
            np.array([case.findings[label] for case in cases]), np.array([label in case.present for case in cases])
        )
        for label in labels
    }


def auroc(scores: NDArray[np.floating], there: NDArray[np.bool_]) -> float:
    """Chance that a score where it is there is above one where it is not, ties half; NaN without both."""
    positives = int(there.sum())
    negatives = len(there) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((rankdata(scores)[there].sum() - positives * (positives + 1) / 2) / (positives * negatives))


class _Others:
    """What the other scans say of one of them."""

    def __init__(self, cases: Sequence[Case], index: int) -> None:
        rest = [case for i, case in enumerate(cases) if i != index]
        self.swapped = cases[(index + 1) % len(cases)]
        self.features_NC = np.mean([case.features_NC for case in rest], axis=0)
        filled = [case.there_SN[_pointing(case)].any(axis=0) for case in rest if _pointing(case)]
        self.likeliest = int(np.sum(filled, axis=0).argmax()) if filled else 0


def _pointing(case: Case) -> list[int]:
    return [s for s, statement in enumerate(case.statements) if statement.polarity in POINTING]


def _measured(case: Case, s: int, others: _Others) -> dict[str, float]:
    there_N = case.there_SN[s]
    inside_N = case.maps_SN[s] > -1
    sentence_C = case.embeddings_SC[s]
    side, result = case.statements[s].side, case.results[s]
    peak_x = int(np.unravel_index(case.maps_SN[s].argmax(), case.grid)[0])
    peak_side = "left" if peak_x < case.grid[0] / 2 else "right"
    return {
        "hit": float(there_N[case.maps_SN[s].argmax()]),
        "chance": float(there_N[inside_N].mean()),
        "lung_prior": float(there_N[case.lung_N].mean()) if case.lung_N.any() else 0.0,
        "position_only": float(there_N[others.likeliest]),
        "text_only": float(there_N[(others.features_NC @ sentence_C).argmax()]),
        "swapped": float(there_N[(others.swapped.features_NC @ sentence_C).argmax()]),
        "patch_auroc": auroc(case.maps_SN[s][inside_N], there_N[inside_N]),
        "side": float(peak_side == side) if side else float("nan"),
        "located": float(result.evidence == "located"),
        "weak_or_located": float(result.evidence in ("located", "weak")),
    }


def _row(kind: str, chosen: NDArray[np.bool_], columns: dict[str, list[float]]) -> GroundingRow:
    rates = {name: _mean(np.array(values)[chosen]) for name, values in columns.items()}
    return GroundingRow(finding=kind, sentences=int(chosen.sum()), **rates)


def _mean(values: NDArray[np.float64]) -> float:
    """Of the numbers among them; NaN where there is none."""
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if known.size else float("nan")
