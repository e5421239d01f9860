"""Tubes along smooth curves, and branching trees that share out a cloud of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from simcrop_core.phantom.style_b.space import Float, Grid, Image

_AT_ONCE = 1_500_000


def along(points: Sequence[Sequence[float]] | Float, step_mm: float = 1.0) -> Float:
    """(N, K) points every step along the cubic spline through the given ones; columns after z ride along."""
    rows = np.asarray(points, dtype=float)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1))])
    n = max(int(length[-1] / step_mm) + 1, 2)
    return np.asarray(CubicSpline(length, rows, bc_type="natural")(np.linspace(0, length[-1], n)))


def stamp(grid: Grid, cover: Image, points_N3: Float, radii_N: Float, *, flat_z: float = 1.0) -> None:
    """Write the share of each voxel that balls along a curve fill, where larger than before.

    Args:
        grid: the voxels.
        cover: (X, Y, Z) shares, 0 to 1; changed.
        points_N3: centres, mm.
        radii_N: radii, mm.
        flat_z: how much longer the balls are along z.
    """
    soft = max(grid.spacing_mm[:2]) * 1.3
    flat = cover.reshape(-1)
    scale = np.array(grid.spacing_mm) / (1.0, 1.0, flat_z)
    bins = np.ceil(radii_N / 1.5)
    for step in np.unique(bins):
        chosen = np.flatnonzero(bins == step)[:: max(int(0.6 * step), 1)]  # thick tubes need fewer balls
        reach = np.ceil((step * 1.5 + soft / 2) / scale).astype(int)
        parts = len(chosen) * int(np.prod(2 * reach + 1)) // _AT_ONCE + 1
        for part in np.array_split(chosen, parts):
            _stamp_part(grid, flat, points_N3[part], radii_N[part], reach, scale, soft)


def _stamp_part(
    grid: Grid, flat: Image, points_N3: Float, radii_N: Float, reach: NDArray[np.int64], scale: Float, soft: float
) -> None:
    """Stamp balls that all fit into boxes of the same reach, in voxels; `scale` is mm a voxel along each axis."""
    index = grid.to_index(points_N3)
    nearest = np.round(index)
    squares, voxels = [], []
    for k in range(3):
        voxel = nearest[:, k : k + 1] + np.arange(-reach[k], reach[k] + 1)
        square = ((voxel - index[:, k : k + 1]) * scale[k]) ** 2
        square[(voxel < 0) | (voxel >= grid.shape[k])] = np.inf
        squares.append(square.astype(np.float32))
        voxels.append(np.clip(voxel, 0, grid.shape[k] - 1).astype(np.int32))
    far = squares[0][:, :, None, None] + squares[1][:, None, :, None] + squares[2][:, None, None, :]
    radius = radii_N.astype(np.float32)
    ball, right, front, up = np.nonzero(far < ((radius + np.float32(soft / 2)) ** 2)[:, None, None, None])
    where = (voxels[0][ball, right] * grid.shape[1] + voxels[1][ball, front]) * grid.shape[2] + voxels[2][ball, up]
    share = np.clip((radius[ball] - np.sqrt(far[ball, right, front, up])) / np.float32(soft) + np.float32(0.5), 0, 1)
    np.maximum.at(flat, where, share * np.minimum(1, radius[ball] / np.float32(0.8)))


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A branching tree as samples along its branches.

    Attributes:
        points_N3: samples, mm.
        directions_N3: unit direction of the branch at each sample.
        radii_N: radius in mm.
        crowns_N: which crown (lobe) the branch supplies.
        generation_N: how many forks lie between the root and the branch.
    """

    points_N3: Float
    directions_N3: Float
    radii_N: Float
    crowns_N: NDArray[np.int64]
    generation_N: NDArray[np.int64]


def grow_tree(
    roots_C3: Float, cloud_N3: Float, crowns_N: NDArray[np.int64], *, tip_mm: float, rng: np.random.Generator
) -> Tree:
    """Grow a tree from each root to all points of its crown.

    Every branch runs part of the way to the middle of the points it supplies, which are then split in two by a random
    plane near the largest spread; the radius follows the number of points supplied (Murray's law, exponent 2.7).

    Args:
        roots_C3: where each crown's tree begins, mm.
        cloud_N3: points to supply, mm.
        crowns_N: crown of each point, index of `roots_C3`.
        tip_mm: radius of a branch to a single point.
        rng: random numbers.
    """
    points, group = cloud_N3, crowns_N.copy()
    starts = roots_C3.copy()
    headings = np.zeros_like(starts)
    crown_of = np.arange(len(roots_C3))
    parts: list[tuple[Float, Float, Float, NDArray[np.int64], NDArray[np.int64]]] = []
    for generation in range(16):
        count = np.bincount(group, minlength=len(starts)).astype(float)
        total = np.stack([np.bincount(group, points[:, k], len(starts)) for k in range(3)], -1)
        middle = np.asarray(total / np.maximum(count, 1)[:, None], dtype=np.float64)
        share = np.where(count <= 1, 1.0, rng.uniform(0.35, 0.6, len(starts)))[:, None]
        ends = starts + share * (middle - starts) + rng.normal(0, 0.8, starts.shape)
        used = count > 0
        parts.append(_branches(starts, ends, headings, count, crown_of, used, tip_mm, generation))
        split, group, points = _split(points, group, middle, count, rng)
        if not len(points):
            break
        parent = split
        headings = (ends - starts)[parent]
        starts, crown_of = ends[parent], crown_of[parent]
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Tree(*joined)


def _branches(
    starts: Float,
    ends: Float,
    headings: Float,
    count: Float,
    crowns: NDArray[np.int64],
    used: NDArray[np.bool_],
    tip_mm: float,
    generation: int,
) -> tuple[Float, Float, Float, NDArray[np.int64], NDArray[np.int64]]:
    a, b = starts[used], ends[used]
    length = np.linalg.norm(b - a, axis=1)
    heading = headings[used] / np.maximum(np.linalg.norm(headings[used], axis=1, keepdims=True), 1e-6)
    bend = (a + b) / 2 + 0.18 * length[:, None] * heading
    samples = int(np.clip(np.percentile(length, 95) / 1.2, 3, 40))
    t = np.linspace(0, 1, samples)[None, :, None]
    path = (1 - t) ** 2 * a[:, None] + 2 * t * (1 - t) * bend[:, None] + t**2 * b[:, None]
    slope = 2 * (1 - t) * (bend - a)[:, None] + 2 * t * (b - bend)[:, None]
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-6)
    radius = tip_mm * count[used] ** (1 / 2.7)
    n = len(a) * samples
    return (
        path.reshape(n, 3),
        slope.reshape(n, 3),
        np.repeat(radius, samples),
        np.repeat(crowns[used], samples),
        np.full(n, generation),
    )


def _split(
    points: Float, group: NDArray[np.int64], middle: Float, count: Float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
    """The parent group of each new group, the new group of each point left, and those points."""
    from_middle = points - middle[group]
    spread = np.stack([np.bincount(group, from_middle[:, k] ** 2, len(middle)) for k in range(3)], -1)
    normal = np.sqrt(spread) * rng.normal(1.0, 0.35, spread.shape) * rng.choice([-1, 1], spread.shape)
    normal[np.arange(len(normal)), spread.argmax(1)] *= 2.0
    offset = np.einsum("nk,nk->n", from_middle, normal[group])
    order = np.lexsort((offset, group))
    rank = np.empty(len(points))
    first = np.concatenate([[0], np.cumsum(count)])[:-1]
    rank[order] = np.arange(len(points)) - first[group[order]]
    cut = np.clip(np.round(rng.uniform(0.32, 0.68, len(middle)) * count), 1, np.maximum(count - 1, 1))
    child = group * 2 + (rank >= cut[group])
    kept = count[group] > 1
    new, dense = np.unique(child[kept], return_inverse=True)
    return new // 2, dense, points[kept]
