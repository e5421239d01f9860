"""Organs as closed contours, level by level: interpolated along z and filled slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from simcrop_core.phantom.style_b.space import Box, Float, Grid, Mask

CORNERS = 96


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A mask that is known only within its box."""

    box: Box
    mask: Mask

    def flat_within(self, grid: Grid) -> Mask:
        """The mask over the whole grid."""
        whole = np.zeros(grid.shape, dtype=bool)
        whole[self.box] = self.mask
        return whole


@cache
def _closing(controls: int) -> Float:
    """(Q, P) weights of the periodic cubic spline through P control points at Q corners."""
    knots = np.arange(controls + 1)
    identity = np.vstack([np.eye(controls), np.eye(controls)[:1]])
    spline = CubicSpline(knots, identity, bc_type="periodic")
    return np.asarray(spline(np.linspace(0, controls, CORNERS, endpoint=False)))


def ovals(table: Sequence[Sequence[float]], *, turn_degrees: float = 0.0, controls: int = 16) -> tuple[Float, Float]:
    """Control points of lopsided ovals.

    Args:
        table: a row a level: z, centre x, centre y, reach to the left, right, front and back in mm, squareness
            (1 a circle's, below 1 squarer).
        turn_degrees: anticlockwise turn of every oval, seen from the head with right at high x.
        controls: control points a contour, the first towards the right, then the front.

    Returns:
        levels (K,) and controls (K, P, 2), mm.
    """
    rows = np.asarray(table, dtype=float)
    angle = np.arange(controls) / controls * 2 * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    _, cx, cy, left, right, front, back, square = (rows[:, k : k + 1] for k in range(8))
    x = np.where(cos >= 0, right, left) * np.sign(cos) * np.abs(cos) ** square
    y = np.where(sin >= 0, front, back) * np.sign(sin) * np.abs(sin) ** square
    turn = np.radians(turn_degrees)
    turned = np.stack([x * np.cos(turn) - y * np.sin(turn) + cx, x * np.sin(turn) + y * np.cos(turn) + cy], axis=-1)
    return rows[:, 0], turned


def wobbled(rng: np.random.Generator, controls_KP2: Float, share: float) -> Float:
    """The contours with low Fourier harmonics of random phase on their radius, drifting from level to level."""
    levels, corners, _ = controls_KP2.shape
    angle = np.arange(corners) / corners * 2 * np.pi
    drift = np.linspace(0, 1, levels)[:, None]
    factor = np.ones((levels, corners))
    for harmonic in (2, 3, 4):
        amplitude = rng.normal(0, share / harmonic)
        phase, turn = rng.uniform(0, 2 * np.pi), rng.normal(0, 1.0)
        factor += amplitude * np.cos(harmonic * angle + phase + turn * drift)
    middle = controls_KP2.mean(axis=1, keepdims=True)
    return np.asarray(middle + (controls_KP2 - middle) * factor[..., None])


def outlines(levels_K: Float, controls_KP2: Float, at_mm_Z: Float) -> Float:
    """(Z, Q, 2) closed outlines at every slice in mm; NaN beyond the first and last level."""
    order = np.argsort(levels_K)
    along = PchipInterpolator(levels_K[order], controls_KP2[order], axis=0, extrapolate=False)
    return np.asarray(np.matmul(_closing(controls_KP2.shape[1]), np.asarray(along(at_mm_Z))))


def grown(outlines_ZQ2: Float, margin_mm: float | Float) -> Float:
    """Outlines moved outwards along their normals (inwards if negative), by one margin or one a corner."""
    tangent = np.roll(outlines_ZQ2, -1, axis=1) - np.roll(outlines_ZQ2, 1, axis=1)
    length = np.linalg.norm(tangent, axis=-1, keepdims=True)
    normal = np.stack([tangent[..., 1], -tangent[..., 0]], axis=-1) / np.maximum(length, 1e-6)
    x, y = outlines_ZQ2[..., 0], outlines_ZQ2[..., 1]
    area = np.sum(x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1), axis=1)
    margin = np.broadcast_to(margin_mm, outlines_ZQ2.shape[1])[None, :, None]
    return np.asarray(outlines_ZQ2 + margin * normal * np.sign(area)[:, None, None])


def fill(grid: Grid, outlines_ZQ2: Float) -> Region:
    """Fill polygons by the even-odd rule, a slice at a time.

    Every edge toggles the first voxel to the right of where it crosses a row; a running parity along x then is the
    inside.
    """
    known = np.flatnonzero(np.isfinite(outlines_ZQ2[:, 0, 0]))
    if not known.size:
        return Region((slice(0, 0), slice(0, 0), slice(0, 0)), np.zeros((0, 0, 0), dtype=bool))
    index = np.stack(
        [outlines_ZQ2[known, :, k] / grid.spacing_mm[k] + (grid.shape[k] - 1) / 2 for k in (0, 1)], axis=-1
    )
    low = np.clip(np.floor(index.min((0, 1))).astype(int), 0, grid.shape[:2])
    high = np.clip(np.ceil(index.max((0, 1))).astype(int) + 1, low, grid.shape[:2])
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(int(known[0]), int(known[-1]) + 1))
    toggles = np.zeros((high[0] - low[0] + 1, high[1] - low[1], known[-1] - known[0] + 1), dtype=np.uint8)
    after = np.roll(index, -1, axis=1)
    rows = np.arange(low[1], high[1])
    crosses = (index[:, :, None, 1] <= rows) != (after[:, :, None, 1] <= rows)
    z, edge, row = np.nonzero(crosses)
    start, end = index[z, edge], after[z, edge]
    x = start[:, 0] + (rows[row] - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    column = np.clip(np.ceil(x).astype(int) - low[0], 0, toggles.shape[0] - 1)
    np.add.at(toggles, (column, row, known[z] - known[0]), 1)
    return Region(box, (np.cumsum(toggles[:-1], axis=0, dtype=np.uint8) & 1).astype(bool))
