"""Values of a grid at patient points, by trilinear interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.lattice import index_in


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
    index = np.moveaxis(index_in(affine, points_ras_mm), -1, 0)
    values: NDArray[np.float32] = ndimage.map_coordinates(grid, index, order=1, mode="nearest", output=np.float32)
    for axis, size in enumerate(grid.shape):
        values[(index[axis] < -0.5) | (index[axis] > size - 0.5)] = outside
    return values
