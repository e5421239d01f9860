"""How well a label map agrees with the truth: overlap and surfaces, class by class (docs/benchmarks/segmentation.md).

A class that the truth does not have has no overlap and no surface: its figures are NaN and count in no mean; what was
found of it is told in millilitres. A class that was missed has an overlap and a surface Dice of 0 and no distance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
TOLERANCE_MM = 2.0
_PERCENTILE = 95


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class of one scan.

    Attributes:
        dice: 2·both / (found + true); NaN where the truth has none.
        surface_dice: share of both surfaces that lies within 2 mm of the other; NaN where the truth has none or
            surfaces were not measured.
        hd95_mm: larger of the two 95th percentiles of the distances between the surfaces; NaN where either is empty
            or surfaces were not measured.
        true_ml: of the truth.
        found_ml: of what was found.
    """

    dice: float
    surface_dice: float
    hd95_mm: float
    true_ml: float
    found_ml: float

    @property
    def missed(self) -> bool:
        """There, and nothing of it found."""
        return self.true_ml > 0 and self.found_ml == 0

    @property
    def invented(self) -> bool:
        """Found, and not there."""
        return self.true_ml == 0 and self.found_ml > 0


def class_scores(
    found: Labels, truth: Labels, classes: int, spacing_mm: Sequence[float], *, surfaces: bool = True
) -> tuple[ClassScore, ...]:
    """Every class, the background first; surfaces are not measured of the background.

    Args:
        found: (x, y, z) classes.
        truth: on the same voxels.
        classes: how many, the background included.
        spacing_mm: of the voxels.
        surfaces: whether surfaces are measured, which takes seconds a class at a scan's own resolution.

    Raises:
        ValueError: the shapes differ.
    """
    if found.shape != truth.shape:
        raise ValueError(f"{found.shape} voxels were labelled, of {truth.shape}.")
    pairs = np.bincount(truth.ravel().astype(np.intp) * classes + found.ravel(), minlength=classes * classes)
    both_TF = pairs.reshape(classes, classes)
    voxel_ml = math.prod(spacing_mm) / 1000
    scores = []
    for index in range(classes):
        true, had = int(both_TF[index].sum()), int(both_TF[:, index].sum())
        dice = 2 * int(both_TF[index, index]) / (true + had) if true else math.nan
        within, distance = math.nan, math.nan
        if surfaces and index and true:
            within, distance = surface_scores(found == index, truth == index, spacing_mm)
        scores.append(ClassScore(dice, within, distance, true * voxel_ml, had * voxel_ml))
    return tuple(scores)


def surface_scores(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> tuple[float, float]:
    """Normalised surface Dice at 2 mm and 95 % Hausdorff distance in mm, by MONAI.

    Args:
        found: voxels of one class.
        truth: the same; not empty.
        spacing_mm: of the voxels.

    Returns:
        0 and NaN where nothing was found.
    """
    if not found.any():
        return 0.0, math.nan
    box = _box(found | truth)
    found_12HWD, truth_12HWD = (torch.from_numpy(np.stack([~part[box], part[box]])[None]) for part in (found, truth))
    spacing = [float(s) for s in spacing_mm]
    with warnings.catch_warnings():
        # MONAI's own call of its own function.
        warnings.filterwarnings("ignore", "monai.metrics.utils get_mask_edges", FutureWarning)
        within = compute_surface_dice(found_12HWD, truth_12HWD, class_thresholds=[TOLERANCE_MM], spacing=spacing)
        distance = compute_hausdorff_distance(found_12HWD, truth_12HWD, percentile=_PERCENTILE, spacing=spacing)
    return float(within[0, 0]), float(distance[0, 0])


def mean_dice(scores: Sequence[ClassScore], *, background: bool) -> float:
    """Over the classes that the truth has; NaN where it has none."""
    dice = [score.dice for score in scores[0 if background else 1 :] if not math.isnan(score.dice)]
    return float(np.mean(dice)) if dice else math.nan


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Around what is set, with a voxel to spare."""
    box = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, int(there[0]) - 1), int(there[-1]) + 2))
    return tuple(box)
