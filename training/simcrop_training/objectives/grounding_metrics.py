"""What grounding is measured by: does the peak hit, is it on the right side, do absent things score lower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from simcrop_training.data.sample import Truth

_REGION = 8


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A sentence, the (N,) cosine of each patch with it, the (N,) share of each patch it claims, the patch grid."""

    truth: Truth
    cosine: NDArray[np.float32]
    target: NDArray[np.float32]
    grid: tuple[int, int, int]

    @property
    def hit(self) -> bool:
        """The peak lies in a patch that the sentence's region reaches."""
        return bool(self.target[self.cosine.argmax()] > 0)

    @property
    def near(self) -> bool:
        """The peak lies in or beside such a patch."""
        peak = np.array(np.unravel_index(self.cosine.argmax(), self.grid))
        there = np.stack(np.unravel_index(np.flatnonzero(self.target), self.grid), -1)
        return bool(np.abs(there - peak).max(1).min() <= 1)

    @property
    def score(self) -> float:
        """Mean of the highest cosines."""
        return float(np.sort(self.cosine)[-_REGION:].mean())

    @property
    def side(self) -> str:
        """The half of the frame the peak is in."""
        return "left" if np.unravel_index(self.cosine.argmax(), self.grid)[0] < self.grid[0] / 2 else "right"


def summarise(answers: Sequence[Answer]) -> dict[str, float]:
    """Rates by kind of sentence, and the AUC of scores of found against absent and negated sentences."""
    found = [a for a in answers if a.truth.polarity == "positive"]
    organs = [a for a in answers if a.truth.polarity == "anatomy"]
    lateral = [a for a in found if a.truth.side]
    figures = {
        "hit": _rate([a.hit for a in found]),
        "near": _rate([a.near for a in found]),
        "side": _rate([a.side == a.truth.side for a in lateral]),
        "organ_hit": _rate([a.hit for a in organs]),
        "lobe_hit": _rate([a.hit for a in organs if a.truth.lobe]),
        "chance": _rate([float((a.target > 0).mean()) for a in found]),
    }
    for kind in sorted({a.truth.topic for a in found}):
        figures[f"hit/{kind}"] = _rate([a.hit for a in found if a.truth.topic == kind])
    scores = [a.score for a in found]
    for name in ("absent", "negated"):
        figures[f"auc/{name}"] = auc(scores, [a.score for a in answers if a.truth.polarity == name])
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive scores higher than a negative; NaN where one of them is empty."""
    if not positive or not negative:
        return float("nan")
    ranks = rankdata([*positive, *negative])
    n = len(positive)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(negative)))


def _rate(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
