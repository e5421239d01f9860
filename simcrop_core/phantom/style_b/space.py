"""The voxel grid a phantom is drawn on, and the streams of random numbers it is drawn with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose, so that what one part draws never moves another part."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxels about the patient's origin: their number and spacing in mm along x (right), y (front), z (head)."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def axis(self, k: int) -> Float:
        """Voxel centres along one axis, mm."""
        n = self.shape[k]
        return np.asarray((np.arange(n) - (n - 1) / 2) * self.spacing_mm[k], dtype=np.float64)

    def to_index(self, points_N3: Float) -> Float:
        """Patient mm → fractional voxel index."""
        return np.asarray(points_N3 / np.array(self.spacing_mm) + (np.array(self.shape) - 1) / 2)

    def around(self, centre_mm: Float, reach_mm: float | Float) -> Box:
        """The box of voxels within reach of a point; empty where the point lies far outside."""
        low = self.to_index(np.asarray(centre_mm) - reach_mm)
        high = self.to_index(np.asarray(centre_mm) + reach_mm)
        edges = [
            (int(np.clip(np.floor(a), 0, n)), int(np.clip(np.ceil(b) + 1, 0, n)))
            for a, b, n in zip(low, high, self.shape, strict=True)
        ]
        return slice(*edges[0]), slice(*edges[1]), slice(*edges[2])

    def offsets(self, box: Box, centre_mm: Float) -> tuple[Image, Image, Image]:
        """Distances in mm from a point along each axis, ready to broadcast over the box."""
        x, y, z = ((self.axis(k)[box[k]] - centre_mm[k]).astype(np.float32) for k in range(3))
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def points(self, flat: NDArray[np.int64] | NDArray[np.int32]) -> Float:
        """(N, 3) patient mm of flat voxel indices."""
        index = np.stack(np.unravel_index(flat, self.shape), axis=-1)
        return np.asarray((index - (np.array(self.shape) - 1) / 2) * np.array(self.spacing_mm))

    def flat(self, box: Box, mask: Mask) -> NDArray[np.int32]:
        """Flat indices in the whole grid of a mask within a box."""
        i, j, k = np.nonzero(mask)
        start = [s.start or 0 for s in box]
        return np.ravel_multi_index((i + start[0], j + start[1], k + start[2]), self.shape).astype(np.int32)

    @property
    def everywhere(self) -> Box:
        """The box of all voxels."""
        return slice(0, self.shape[0]), slice(0, self.shape[1]), slice(0, self.shape[2])


def around_mask(mask: Mask) -> Box:
    """The smallest box that holds a mask; empty for an empty one."""
    edges = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not edges[0].size:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    x, y, z = (slice(int(e[0]), int(e[-1]) + 1) for e in edges)
    return x, y, z
