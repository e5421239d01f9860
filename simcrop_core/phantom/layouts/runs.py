"""Sets of voxels as runs along the last axis: an organ of millions of voxels in a few thousand numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine, apply

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Voxels that follow one another along the last axis; no run leaves its line.

    Attributes:
        starts: (n,) int32, flat index (C order) of the first voxel of each run, rising.
        lengths: (n,) int32, voxels of each run.
    """

    starts: NDArray[np.int32]
    lengths: NDArray[np.int32]

    @property
    def voxels(self) -> NDArray[np.int32]:
        """All flat indices, rising."""
        if not self.starts.size:
            return self.starts
        # Each voxel is one further than the last, but for the jump at the start of a run.
        steps = np.ones(int(self.lengths.sum()), dtype=np.int32)
        steps[0] = self.starts[0]
        ends = np.cumsum(self.lengths)
        steps[ends[:-1]] = self.starts[1:] - (self.starts[:-1] + self.lengths[:-1]) + 1
        return np.cumsum(steps, dtype=np.int32)


def runs_of(voxels: NDArray[np.int32], shape: Shape) -> Runs:
    """A set of flat indices (C order) of an array of `shape`, as runs."""
    if not voxels.size:
        return Runs(voxels, voxels)
    if not (np.diff(voxels) > 0).all():
        voxels = np.unique(voxels)
    begins = np.flatnonzero(np.concatenate([[True], (np.diff(voxels) != 1) | (voxels[1:] % shape[2] == 0)]))
    lengths = np.diff(np.append(begins, voxels.size))
    return Runs(voxels[begins].astype(np.int32), lengths.astype(np.int32))


def turned(runs: Runs, shape: Shape) -> Runs:
    """The same voxels after the first two axes were reversed: from RAS to LPS."""
    x, y, z = np.unravel_index(runs.starts, shape)
    starts = np.ravel_multi_index((shape[0] - 1 - x, shape[1] - 1 - y, z), shape)
    order = np.argsort(starts)
    return Runs(starts[order].astype(np.int32), runs.lengths[order])


def centre_mm(runs: Runs, shape: Shape, affine: Affine) -> tuple[float, float, float] | None:
    """Where the middle of the voxels is, RAS mm to a tenth; None of an empty set."""
    if not runs.starts.size:
        return None
    x, y, z = np.unravel_index(runs.starts, shape)
    middles = np.stack([x, y, z + (runs.lengths - 1) / 2], axis=-1)
    right, front, up = apply(affine, np.average(middles, axis=0, weights=runs.lengths)).round(1).tolist()
    return right, front, up
