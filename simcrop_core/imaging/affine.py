"""4×4 voxel→patient matrices: what they say of spacing, axes and orthogonality (RAS, mm)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]


def spacing_mm(affine: Affine) -> NDArray[np.float64]:
    """Distance in mm between neighbouring voxels along each of the three array axes."""
    lengths: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return lengths


def apply(affine: Affine, points: ArrayLike) -> NDArray[np.float64]:
    """Map points, shape (..., 3), through an affine."""
    points = np.asarray(points, dtype=np.float64)
    mapped: NDArray[np.float64] = points @ affine[:3, :3].T + affine[:3, 3]
    return mapped


def translated(affine: Affine, voxels: ArrayLike) -> Affine:
    """The affine of a grid whose first voxel is at (possibly fractional) index `voxels` of this one."""
    moved = affine.copy()
    moved[:3, 3] = apply(affine, voxels)
    return moved


def scaled(affine: Affine, factors: ArrayLike) -> Affine:
    """The affine of a grid with the same first voxel centre and `factors` times the spacing."""
    wider = affine.copy()
    wider[:3, :3] *= np.asarray(factors, dtype=np.float64)
    return wider


def orientation(affine: Affine) -> tuple[str, str, str]:
    """Nearest anatomical direction of each array axis, such as ("L", "P", "S")."""
    import nibabel

    x, y, z = nibabel.orientations.aff2axcodes(affine)
    assert None not in (x, y, z), "an affine of rank 3 has three axis codes"
    return x, y, z
