"""Separable linear resampling between a volume and its lattice, straight from the file's own voxel order."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.lattice import Lattice, Triple
from simcrop_core.imaging.volume import Volume


def resample_box(
    volume: Volume,
    lattice: Lattice,
    offset: Triple,
    shape: Triple,
    *,
    hu_window: tuple[float, float],
    padding: Literal["air", "reflect"] = "air",
) -> NDArray[np.float32]:
    """Cut one box of lattice points out of a volume, windowed to −1…1.

    Only the voxels that the box needs are read, two slices at a time, so a frame of a large CT costs its own size
    in memory. Linear interpolation, constant to the outer faces of the edge voxels; beyond them air (−1) or the mirror
    image.

    Args:
        volume: the CT, HU.
        lattice: its lattice.
        offset: lattice index of the box's first point; may be negative.
        shape: points of the box.
        hu_window: HU mapped to −1 and 1; values beyond are clipped.
        padding: what lies beyond the volume.

    Returns:
        float32 array of `shape`, in lattice axis order.
    """
    box = np.full(shape, -1.0, dtype=np.float32)
    low, high = hu_window
    inside: list[slice] = []
    coordinates: dict[int, NDArray[np.float64]] = {}
    for axis in range(3):
        index = np.arange(offset[axis], offset[axis] + shape[axis])
        if padding == "reflect":
            index = _mirrored(index, lattice.shape[axis])
            inside.append(slice(0, shape[axis]))
        else:
            kept = np.flatnonzero(_within_volume(lattice, axis, index))
            if kept.size == 0:
                return box
            index = index[kept]
            inside.append(slice(int(kept[0]), int(kept[-1]) + 1))
        coordinates[lattice.axes[axis]] = lattice.voxel_coordinates(axis, index)
    values = _interpolate(volume.voxels, [coordinates[axis] for axis in range(3)])
    np.subtract(values, (high + low) / 2, out=values)
    np.multiply(values, 2 / (high - low), out=values)
    np.clip(values, -1.0, 1.0, out=values)
    box[tuple(inside)] = values.transpose(lattice.axes)
    return box


def _within_volume(lattice: Lattice, axis: int, index: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Lattice points of the volume, and those beyond them but still inside its outermost voxels."""
    voxel = lattice.voxel_coordinates(axis, index)
    inside_voxels = (voxel >= -0.5) & (voxel <= lattice.volume_shape[lattice.axes[axis]] - 0.5)
    within: NDArray[np.bool_] = inside_voxels | ((index >= 0) & (index < lattice.shape[axis]))
    return within


def _mirrored(index: NDArray[np.int_], points: int) -> NDArray[np.int_]:
    """Indices reflected at the first and last point, as often as needed (numpy's "reflect" padding)."""
    if points == 1:
        return np.zeros_like(index)
    wrapped = np.mod(index, 2 * (points - 1))
    return np.where(wrapped < points, wrapped, 2 * (points - 1) - wrapped)


def _interpolate(
    voxels: NDArray[np.int16] | NDArray[np.float32], coordinates: list[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Linear interpolation at the grid spanned by three coordinate lists, in the voxels' own axis order.

    Works through memory in its own order: the axis with the largest stride outermost, one blended slice at a time.
    """
    slow, middle, fast = (int(a) for a in np.argsort([-abs(s) for s in voxels.strides], kind="stable"))
    slices = voxels.transpose(slow, middle, fast)
    slow_low, slow_high, slow_weight = _neighbours(coordinates[slow], voxels.shape[slow])
    row_low, row_high, row_weight = _neighbours(coordinates[middle], voxels.shape[middle])
    columns, column_weights = _interpolation_matrix(coordinates[fast], voxels.shape[fast])
    rows = slice(int(min(row_low.min(), row_high.min())), int(max(row_low.max(), row_high.max())) + 1)
    row_low, row_high = row_low - rows.start, row_high - rows.start
    out = np.empty((len(slow_low), len(row_low), column_weights.shape[1]), dtype=np.float32)
    row_share = row_weight.astype(np.float32)[:, None]
    for i, (below, above, weight) in enumerate(zip(slow_low, slow_high, slow_weight, strict=True)):
        blended = slices[below, rows, columns].astype(np.float32)
        if weight > 0:
            blended += np.float32(weight) * (slices[above, rows, columns] - blended)
        lines = blended[row_low]
        lines += row_share * (blended[row_high] - lines)
        np.matmul(lines, column_weights, out=out[i])
    order = np.argsort([slow, middle, fast])
    return out.transpose(order)


def _neighbours(
    coordinates: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64]]:
    """The voxels below and above each coordinate, and the share of the one above; clamped at the edges."""
    clamped = np.clip(coordinates, 0, size - 1)
    low = np.floor(clamped).astype(int)
    return low, np.minimum(low + 1, size - 1), clamped - low


def _interpolation_matrix(coordinates: NDArray[np.float64], size: int) -> tuple[slice, NDArray[np.float32]]:
    """The range of voxels needed, and the (voxels, points) matrix of their linear weights."""
    low, high, weight = _neighbours(coordinates, size)
    needed = slice(int(low.min()), int(high.max()) + 1)
    matrix = np.zeros((needed.stop - needed.start, len(coordinates)), dtype=np.float32)
    points = np.arange(len(coordinates))
    np.add.at(matrix, (low - needed.start, points), 1 - weight)
    np.add.at(matrix, (high - needed.start, points), weight)
    return needed, matrix
