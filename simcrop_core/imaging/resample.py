"""Separable linear resampling between a volume and its lattice, straight from the file's own voxel order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.lattice import Lattice, Triple
from simcrop_core.imaging.volume import Volume

_THREADS = 2


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
    values = _interpolate(volume.voxels, [coordinates[axis] for axis in range(3)], hu_window)
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
    voxels: NDArray[np.int16] | NDArray[np.float32],
    coordinates: list[NDArray[np.float64]],
    hu_window: tuple[float, float],
) -> NDArray[np.float32]:
    """Linear interpolation at the grid spanned by three coordinate lists, in the voxels' own axis order, windowed.

    Works through memory in its own order: the axis with the largest stride outermost, one blended slice at a time, on
    two threads (numpy lets go of the interpreter while it computes).
    """
    slow, middle, fast = (int(a) for a in np.argsort([-abs(s) for s in voxels.strides], kind="stable"))
    slices = voxels.transpose(slow, middle, fast)
    below, above, slice_weight = _neighbours(coordinates[slow], voxels.shape[slow])
    rows = _neighbours(coordinates[middle], voxels.shape[middle])
    columns = _neighbours(coordinates[fast], voxels.shape[fast])
    out = np.empty((len(below), len(rows[0]), len(columns[0])), dtype=np.float32)
    low, high = hu_window

    def fill(i: int) -> None:
        lines = _between_rows(slices[below[i]], *rows)
        if slice_weight[i] > 0:
            lines += slice_weight[i] * (_between_rows(slices[above[i]], *rows) - lines)
        plane = _between_columns(lines, *columns)
        plane -= (high + low) / 2
        plane *= 2 / (high - low)
        np.clip(plane, -1.0, 1.0, out=out[i])

    with ThreadPoolExecutor(_THREADS) as pool:
        deque(pool.map(fill, range(len(below))), maxlen=0)
    order = np.argsort([slow, middle, fast])
    return out.transpose(order)


def _between_rows(
    plane: NDArray[np.int16] | NDArray[np.float32],
    low: NDArray[np.intp],
    high: NDArray[np.intp],
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(rows, all columns) of a slice, interpolated between its rows."""
    lines = plane[low].astype(np.float32)
    return np.add(lines, weight[:, None] * (plane[high] - lines), out=lines)


def _between_columns(
    lines: NDArray[np.float32], low: NDArray[np.intp], high: NDArray[np.intp], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(rows, columns) interpolated between the columns of `lines`; `take` is twice as fast as indexing here."""
    points = np.take(lines, low, axis=1)
    return np.add(points, weight * (np.take(lines, high, axis=1) - points), out=points)


def _neighbours(
    coordinates: NDArray[np.float64], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The voxels below and above each coordinate, and the share of the one above; clamped at the edges."""
    clamped = np.clip(coordinates, 0, size - 1)
    low = np.floor(clamped).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (clamped - low).astype(np.float32)
