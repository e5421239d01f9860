"""Vessels and airways: tapering tubes and the random trees they form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simcrop_core.phantom.style_a.space import Box, Field, Mask, Points, Space

# Per mm: a tube's edge is as wide as a voxel of the model's frame.
_PER_EDGE = np.float32(1 / 1.8)


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """One straight piece of a tube between two points (3,) in body mm, with a radius (mm) at each end."""

    start: Points
    end: Points
    radius: float
    end_radius: float


def polyline(points: Sequence[Sequence[float]], radii: float | Sequence[float], steps: int = 5) -> list[Tube]:
    """Tubes along a line of points, `steps` between neighbours; one radius, or several spread over its length."""
    path = smooth_path(np.asarray(points, dtype=np.float64), steps)
    at = np.linspace(0, 1, len(path))
    widths = np.interp(at, np.linspace(0, 1, np.size(radii)), np.atleast_1d(radii))
    return [Tube(a, b, ra, rb) for a, b, ra, rb in zip(path[:-1], path[1:], widths[:-1], widths[1:], strict=True)]


def smooth_path(points: Points, steps: int = 5) -> Points:
    """A Catmull-Rom curve through the points (n, 3), `steps` pieces between neighbours."""
    if len(points) < 3:
        return points
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True)
    ]
    return np.concatenate([*pieces, points[-1:]])


def grow_tree(rng: np.random.Generator, root: Points, targets: Points, radius: float, finest: float) -> list[Tube]:
    """A branching tree from a root (3,) to target points (n, 3), splitting the targets in two at each fork.

    Radii follow Murray's law (the cube of a parent's is the sum of its children's), down to `finest` mm.
    """
    tubes: list[Tube] = []
    stack = [(root, targets, radius)]
    while stack:
        start, group, width = stack.pop()
        if len(group) == 1 or width < finest:
            tubes.append(Tube(start, group[0], max(width, finest), finest))
            continue
        centre = group.mean(0)
        fork = start + (centre - start) * rng.uniform(0.35, 0.55) + rng.normal(0, 2.0, 3)
        tubes.append(Tube(start, fork, width, width * 0.9))
        order = np.argsort(group[:, np.argmax(np.ptp(group, axis=0))])
        cut = int(np.clip(round(len(group) * rng.uniform(0.35, 0.65)), 1, len(group) - 1))
        stack.extend(
            (fork, group[part], width * 0.95 * (len(part) / len(group)) ** (1 / 3))
            for part in (order[:cut], order[cut:])
        )
    return tubes


def paint(
    image: Field,
    space: Space,
    tubes: Sequence[Tube],
    hu: float,
    *,
    within: Mask | None = None,
    lighter_only: bool = False,
) -> None:
    """Draw tubes into an image (HU) in place, with the partial volume of their edges.

    Args:
        image: HU, changed.
        space: the body the tubes' coordinates belong to.
        tubes: what to draw.
        hu: their density.
        within: draw only here.
        lighter_only: only ever raise the image (vessels crossing denser tissue leave it).
    """
    for box, distance in _distances(space, tubes):
        cover = distance * _PER_EDGE
        cover += np.float32(0.5)
        np.minimum(np.maximum(cover, 0, out=cover), 1, out=cover)
        if within is not None:
            cover *= within[box]
        change = cover * (np.float32(hu) - image[box])
        image[box] += np.maximum(change, 0) if lighter_only else change


def inside(space: Space, tubes: Sequence[Tube]) -> Mask:
    """Voxels whose centre lies in any of the tubes."""
    mask = np.zeros(space.grid.shape, dtype=bool)
    for box, distance in _distances(space, tubes):
        mask[box] |= distance > 0
    return mask


def _distances(space: Space, tubes: Sequence[Tube]) -> Iterator[tuple[Box, Field]]:
    """The voxel box around each tube that meets the grid, and how deep (mm) each of its voxels is inside."""
    if not tubes:
        return
    radii = np.array([(t.radius, t.end_radius) for t in tubes]) * space.scale
    ends = space.to_grid(np.concatenate([[t.start for t in tubes], [t.end for t in tubes]]))
    starts, stops = ends[: len(tubes)], ends[len(tubes) :]
    margin = radii.max(1, keepdims=True) + 1.5
    spacing, middle = np.array(space.grid.spacing_mm), (np.array(space.grid.shape) - 1) / 2
    low = np.maximum(np.floor((np.minimum(starts, stops) - margin) / spacing + middle), 0).astype(int)
    high = np.minimum(np.ceil((np.maximum(starts, stops) + margin) / spacing + middle) + 1, space.grid.shape).astype(
        int
    )
    along_mm = stops - starts
    squared = np.maximum((along_mm**2).sum(1), 1e-6)
    gx, gy, gz = space.grid.axes()
    for i in np.flatnonzero((low < high).all(1)):
        (x0, y0, z0), (x1, y1, z1) = low[i].tolist(), high[i].tolist()
        a, d = starts[i].astype(np.float32), along_mm[i].astype(np.float32)
        x, y, z = gx[x0:x1] - a[0], gy[:, y0:y1] - a[1], gz[:, :, z0:z1] - a[2]
        length = np.float32(squared[i])
        onto = (x * d[0] + y * d[1]) + z * d[2]
        along = onto / length
        np.minimum(along, 1, out=along)
        np.maximum(along, 0, out=along)
        # |p - t d|² = |p|² - t (2 p·d - t |d|²)
        onto *= 2
        onto -= along * length
        onto *= -along
        onto += (x * x + y * y) + z * z
        np.sqrt(np.maximum(onto, 0, out=onto), out=onto)
        ra, rb = radii[i].astype(np.float32)
        along *= rb - ra
        along += ra
        along -= onto
        yield (slice(x0, x1), slice(y0, y1), slice(z0, z1)), along
