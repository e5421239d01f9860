"""How far from the truth: peaks against structures, label maps against label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcrop_core.imaging.affine import Affine, apply
from simcrop_core.imaging.lattice import index_in


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice overlap of two masks on one grid; 1 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def distance_mm(point_ras_mm: ArrayLike, mask: NDArray[np.bool_], affine: Affine) -> float:
    """From a patient point to the nearest voxel of a mask, mm; 0 inside it."""
    point = np.asarray(point_ras_mm, dtype=np.float64)
    voxel = np.rint(index_in(affine, point)).astype(int)
    if (voxel >= 0).all() and (voxel < mask.shape).all() and mask[tuple(voxel)]:
        return 0.0
    return float(np.linalg.norm(apply(affine, np.argwhere(mask)) - point, axis=1).min())
