"""A heatmap on the grid of its CT, one slice at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.imaging.affine import Affine, apply
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.volume import Volume

OUTSIDE = -1.0  # the lowest cosine: no threshold ever draws where the model did not look

Transform = NDArray[np.float64]


def slices(heatmap: Heatmap, volume: Volume) -> Iterator[NDArray[np.float32]]:
    """The heatmap at every voxel of a volume: trilinear, -1 beyond the box that the patches cover.

    Where the two grids share their axes, as every map of our own model does, a slice is two small matrix products;
    else each voxel is looked up on its own.

    Yields:
        float32 (x, y), one for each index of the volume's third axis, in order.
    """
    to_patch = np.linalg.inv(heatmap.affine) @ volume.affine
    axes = _shared_axes(to_patch, volume.shape)
    return _looked_up(heatmap, to_patch, volume.shape) if axes is None else _products(heatmap, to_patch, volume, axes)


def _shared_axes(to_patch: Affine, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """For each volume axis the one heatmap axis along which it runs (to a hundred-thousandth of a patch), or None."""
    travel = np.abs(to_patch[:3, :3]) * shape
    along = [int(column.argmax()) for column in travel.T]
    across = travel.copy()
    across[along, [0, 1, 2]] = 0.0
    return (along[0], along[1], along[2]) if sorted(along) == [0, 1, 2] and across.max() < 1e-5 else None


def _products(
    heatmap: Heatmap, to_patch: Affine, volume: Volume, axes: tuple[int, int, int]
) -> Iterator[NDArray[np.float32]]:
    scores = (heatmap.scores - np.float32(OUTSIDE)).transpose(axes)
    x, y, z = (
        _linear_weights(to_patch[axes[a], a] * np.arange(size) + to_patch[axes[a], 3], scores.shape[a])
        for a, size in enumerate(volume.shape)
    )
    for weights_z in z:
        yield x @ (scores @ weights_z) @ y.T + np.float32(OUTSIDE)


def _linear_weights(index: Transform, size: int) -> NDArray[np.float32]:
    """(voxels, patches) weights of linear interpolation; an all-zero row beyond half a patch past the ends."""
    clamped = np.clip(index, 0, size - 1)
    weights = np.clip(1 - np.abs(clamped[:, None] - np.arange(size)), 0, None)
    weights[(index < -0.5) | (index > size - 0.5)] = 0
    small: NDArray[np.float32] = weights.astype(np.float32)
    return small


def _looked_up(heatmap: Heatmap, to_patch: Affine, shape: tuple[int, int, int]) -> Iterator[NDArray[np.float32]]:
    x, y = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    for k in range(shape[2]):
        first = apply(to_patch, [0, 0, k])
        values: NDArray[np.float32] = ndimage.affine_transform(
            heatmap.scores, to_patch[:3, :3], first, (*shape[:2], 1), order=1, mode="nearest", output=np.float32
        )[..., 0]
        for axis, size in enumerate(heatmap.scores.shape):
            index = to_patch[axis, 0] * x + to_patch[axis, 1] * y + first[axis]
            values[(index < -0.5) | (index > size - 0.5)] = OUTSIDE
        yield values
