"""Vessels and airways: tapering tubes and the random trees they form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a.space import SHAPE, SPACING_MM, Field, Mask, Space, frame_axes

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """One straight piece of a tube between two points (3,) in body mm, with a radius (mm) at each end."""

    start: Points
    end: Points
    radius: float
    end_radius: float


def polyline(points: Sequence[Sequence[float]], radii: float | Sequence[float]) -> list[Tube]:
    """Tubes along a line of points; one radius, or one a point."""
    path = smooth_path(np.asarray(points, dtype=np.float64))
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
        spread = group - centre
        axis = np.linalg.svd(spread, full_matrices=False)[2][0] if len(group) > 2 else spread[0]
        order = np.argsort(spread @ axis)
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
        image: (224, 224, 112) float32, changed.
        space: the body the tubes' coordinates belong to.
        tubes: what to draw.
        hu: their density.
        within: draw only here.
        lighter_only: only ever raise the image (vessels crossing denser tissue leave it).
    """
    for box, distance in _distances(space, tubes):
        cover = np.clip(0.5 + distance / 1.8, 0, 1)
        if within is not None:
            cover *= within[box]
        change = cover * (np.float32(hu) - image[box])
        image[box] += np.maximum(change, 0) if lighter_only else change


def inside(space: Space, tubes: Sequence[Tube]) -> Mask:
    """(224, 224, 112) voxels whose centre lies in any of the tubes."""
    mask = np.zeros(SHAPE, dtype=bool)
    for box, distance in _distances(space, tubes):
        mask[box] |= distance > 0
    return mask


def _distances(space: Space, tubes: Sequence[Tube]) -> list[tuple[tuple[slice, slice, slice], Field]]:
    """The voxel box around each tube that meets the frame, and how deep (mm) each of its voxels is inside."""
    if not tubes:
        return []
    scale = float(np.cbrt(1 / np.linalg.det(space.matrix)))
    ends = space.to_frame(np.concatenate([[t.start for t in tubes], [t.end for t in tubes]]))
    axes = frame_axes()
    half, spacing = np.array(SHAPE) / 2, np.array(SPACING_MM)
    found = []
    for tube, a, b in zip(tubes, ends[: len(tubes)], ends[len(tubes) :], strict=True):
        ra, rb = tube.radius * scale, tube.end_radius * scale
        margin = max(ra, rb) + 1.5
        low = np.maximum(np.floor((np.minimum(a, b) - margin) / spacing + half), 0).astype(int)
        high = np.minimum(np.ceil((np.maximum(a, b) + margin) / spacing + half), SHAPE).astype(int)
        if (low >= high).any():
            continue
        box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        x, y, z = axes[0][box[0]] - a[0], axes[1][:, box[1]] - a[1], axes[2][:, :, box[2]] - a[2]
        d = b - a
        along = np.clip((x * d[0] + y * d[1] + z * d[2]) / max(float(d @ d), 1e-6), 0, 1)
        away = np.sqrt((x - along * d[0]) ** 2 + (y - along * d[1]) ** 2 + (z - along * d[2]) ** 2)
        found.append((box, (ra + along * (rb - ra) - away).astype(np.float32)))
    return found
