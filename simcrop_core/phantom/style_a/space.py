"""The body's own coordinates on a grid of voxels: position, size, pose and a smooth individual deformation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Box = tuple[slice, slice, slice]

# Knots of random fields are spread over a cube of this edge about the grid's centre, whatever the grid: the same
# field on every grid.
SPAN_MM = 440.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxels about a common centre.

    Attributes:
        shape: voxels along x, y, z.
        spacing_mm: along x, y, z.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def axes(self) -> tuple[Field, Field, Field]:
        """Voxel centres in mm about the grid's centre along each axis, ready to broadcast."""
        x, y, z = (self.positions(axis).astype(np.float32) for axis in range(3))
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def positions(self, axis: int) -> Points:
        """(n,) mm of the voxel centres along one axis."""
        n = self.shape[axis]
        positions: Points = (np.arange(n) - (n - 1) / 2) * np.float64(self.spacing_mm[axis])
        return positions

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm))

    def box(self, low_mm: ArrayLike, high_mm: ArrayLike) -> Box:
        """The voxels between two corners (mm about the centre), cut to the grid; empty where outside."""
        spacing, middle = np.array(self.spacing_mm), (np.array(self.shape) - 1) / 2
        low = np.clip(np.floor(np.asarray(low_mm) / spacing + middle), 0, self.shape).astype(int)
        high = np.clip(np.ceil(np.asarray(high_mm) / spacing + middle) + 1, 0, self.shape).astype(int)
        x, y, z = (slice(int(a), int(max(a, b))) for a, b in zip(low, high, strict=True))
        return x, y, z


SHAPE, SPACING_MM = (224, 224, 112), (1.5, 1.5, 3.0)
FRAME = Grid(SHAPE, SPACING_MM)
# Coarse, and larger than any scan: smooth shapes are worked out on it once, and everything is decided on it, so that
# scans of one person on different grids tell the same.
PLAN = Grid((84, 84, 80), (5.0, 5.0, 5.0))
WHOLE: Box = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where every voxel of a grid lies in a standard body (mm; x to the right, y to the front, z upwards).

    Attributes:
        grid: the voxels.
        x: body coordinate of each voxel, 0 in the midline, negative on the patient's left.
        y: likewise, negative towards the back.
        z: likewise, 0 about the level of the pulmonary hila.
        matrix: (3, 3) grid mm (about the grid's centre) → body mm, before the deformation.
        offset: (3,) body mm at the grid's centre.
        warp: (3, n, n, n) deformation in mm at knots spread over `SPAN_MM`.
    """

    grid: Grid
    x: Field
    y: Field
    z: Field
    matrix: Points
    offset: Points
    warp: Points

    @property
    def scale(self) -> float:
        """Grid mm per body mm."""
        return float(np.cbrt(1 / np.linalg.det(self.matrix)))

    def to_grid(self, body_mm: Points, steps: int = 2) -> Points:
        """Grid mm about the centre, (n, 3), of points (n, 3) of the standard body, by fixed-point iteration."""
        inverse = np.linalg.inv(self.matrix)
        found = (body_mm - self.offset) @ inverse.T
        last = self.warp.shape[1] - 1
        for _ in range(steps):
            knots = np.clip(found / SPAN_MM + 0.5, 0, 1) * last
            moved = [map_coordinates(w, knots.T, order=3, prefilter=False, mode="nearest") for w in self.warp]
            found = (body_mm - self.offset - np.stack(moved, -1)) @ inverse.T
        return found

    def box(self, low: ArrayLike, high: ArrayLike, margin_mm: float = 12.0) -> Box:
        """The voxels that may lie between two corners of the standard body (mm)."""
        corners = np.stack(np.meshgrid(*np.stack([low, high], -1), indexing="ij"), -1).reshape(-1, 3)
        at = self.to_grid(corners.astype(np.float64), steps=1)
        return self.grid.box(at.min(0) - margin_mm, at.max(0) + margin_mm)

    def box_around(self, centre: ArrayLike, reach_mm: float) -> Box:
        """The voxels within `reach_mm` of a point of the standard body."""
        at = self.to_grid(np.asarray(centre, dtype=np.float64)[None], steps=1)[0]
        reach = reach_mm * self.scale * 1.25 + 6
        return self.grid.box(at - reach, at + reach)

    def voxel_at(self, body_mm: ArrayLike) -> tuple[int, int, int]:
        """The voxel nearest to a point of the standard body, moved to the grid's edge where it lies outside."""
        at = self.to_grid(np.asarray(body_mm, dtype=np.float64)[None])[0] / self.grid.spacing_mm
        index = np.clip(np.rint(at + (np.array(self.grid.shape) - 1) / 2), 0, np.array(self.grid.shape) - 1)
        x, y, z = (int(i) for i in index)
        return x, y, z


def body_space(grid: Grid, matrix: Points, offset: Points, warp: Points) -> Space:
    """A body's coordinates at every voxel of a grid; see `Space`."""
    gx, gy, gz = grid.axes()
    x, y, z = (
        spread(w, grid) + (np.float32(m[0]) * gx + np.float32(m[1]) * gy + np.float32(m[2]) * gz + np.float32(o))
        for m, o, w in zip(matrix, offset, warp, strict=True)
    )
    return Space(grid, x, y, z, matrix, offset, warp)


def ellipsoid(space: Space, centre: ArrayLike, radii: ArrayLike, *, lean: float = 0.0) -> Mask:
    """Voxels inside an ellipsoid (body mm); `lean` (radians) tips its top to the patient's right."""
    mask = np.zeros(space.grid.shape, dtype=bool)
    box = space.box_around(centre, float(np.max(np.asarray(radii))))
    mask[box] = roundness(space, box, centre, radii, lean=lean) < 1
    return mask


def roundness(space: Space, box: Box, centre: ArrayLike, radii: ArrayLike, *, lean: float = 0.0) -> Field:
    """Squared distance of a box's voxels from an ellipsoid's centre, 1 on its surface."""
    (cx, cy, cz), (rx, ry, rz) = np.asarray(centre, dtype=np.float32), np.asarray(radii, dtype=np.float32)
    x, y, z = space.x[box] - cx, space.y[box] - cy, space.z[box] - cz
    if lean:
        c, s = np.float32(np.cos(lean)), np.float32(np.sin(lean))
        x, z = c * x - s * z, s * x + c * z
    squared: Field = (x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2
    return squared


def smooth_noise(rng: np.random.Generator, knots: int, grid: Grid, box: Box = WHOLE) -> Field:
    """A smooth random field, about standard normal, of features about `SPAN_MM` / `knots` wide."""
    values = rng.standard_normal((knots, knots, knots), dtype=np.float32)
    return spread(3 * values, grid, box)


def spread(knots: NDArray[np.floating[Any]], grid: Grid, box: Box = WHOLE) -> Field:
    """Spread values at knots over a box of a grid as a cubic B-spline."""
    weights = [_spline_weights(n, grid, axis)[box[axis]] for axis, n in enumerate(knots.shape)]
    return _along_axes(knots.astype(np.float32, copy=False), weights)


def resampled(field: Field, source: Grid, target: Grid) -> Field:
    """A field of one grid on another of the same centre, linearly; beyond the edge its edge."""
    return _along_axes(field, [_linear_weights(source, target, axis) for axis in range(3)])


def nearest_index(source: Grid, target: Grid, axis: int) -> NDArray[np.intp]:
    """For each target voxel along an axis the nearest source voxel."""
    at = target.positions(axis) / source.spacing_mm[axis] + (source.shape[axis] - 1) / 2
    return np.clip(np.rint(at), 0, source.shape[axis] - 1).astype(np.intp)


def _along_axes(values: Field, weights: list[Field]) -> Field:
    """Apply one (new, old) matrix along each axis."""
    first = np.tensordot(weights[0], values, (1, 0))
    second = np.matmul(weights[1], first)
    n0, n1, old = second.shape
    out: Field = (second.reshape(n0 * n1, old) @ weights[2].T).reshape(n0, n1, -1)
    return out


@lru_cache(maxsize=256)
def _spline_weights(knots: int, grid: Grid, axis: int) -> Field:
    at = np.clip(grid.positions(axis) / SPAN_MM + 0.5, 0, 1) * (knots - 1)
    cell = np.minimum(at.astype(np.intp), knots - 2)
    t = at - cell
    basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    matrix = np.zeros((len(at), knots), dtype=np.float32)
    for step, weight in enumerate(basis):
        np.add.at(matrix, (np.arange(len(at)), np.clip(cell - 1 + step, 0, knots - 1)), weight / 6)
    return matrix


@lru_cache(maxsize=64)
def _linear_weights(source: Grid, target: Grid, axis: int) -> Field:
    last = source.shape[axis] - 1
    at = np.clip(target.positions(axis) / source.spacing_mm[axis] + last / 2, 0, last)
    cell = np.minimum(at.astype(np.intp), last - 1)
    matrix = np.zeros((len(at), source.shape[axis]), dtype=np.float32)
    rows = np.arange(len(at))
    matrix[rows, cell] = 1 - (at - cell)
    matrix[rows, cell + 1] = at - cell
    return matrix
