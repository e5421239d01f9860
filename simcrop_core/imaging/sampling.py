"""Values of a grid at patient points, by trilinear interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from simcrop_core.imaging.affine import Affine


def sample(grid: NDArray[Any], affine: Affine, points_ras_mm: ArrayLike, *, outside: float) -> NDArray[np.float32]:
    """Interpolate a grid at patient points.

    Voxels are boxes: up to half a voxel beyond the outermost centres the edge value holds, further out nothing does.

    Args:
        grid: (x, y, z) values.
        affine: (4, 4) grid index → patient RAS, mm.
        points_ras_mm: (..., 3) points, in any arrangement.
        outside: the value of points beyond the grid.

    Returns:
        float32 values, shape (...).
    """
    points = np.asarray(points_ras_mm, dtype=np.float64)
    to_index = np.linalg.inv(affine)
    # Not a BLAS product: its threads cost more than they save on three columns, most of all on a busy machine.
    index = np.einsum("ij,pj->ip", to_index[:3, :3], points.reshape(-1, 3)) + to_index[:3, 3:]
    values: NDArray[np.float32] = ndimage.map_coordinates(grid, index, order=1, mode="nearest", output=np.float32)
    for along, size in zip(index, grid.shape, strict=True):
        values[(along < -0.5) | (along > size - 0.5)] = outside
    return values.reshape(points.shape[:-1])
