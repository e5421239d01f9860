"""Axial, coronal and sagittal planes through a patient point, in true millimetres and radiological convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcrop_core.imaging.affine import Affine, apply

Point = tuple[float, float, float]
Bounds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """How a plane lies in the patient: rows and columns run from high to low RAS coordinates, towards L, P and S→I.

    Attributes:
        name: axial, coronal or sagittal.
        across: the patient axis (0 R, 1 A, 2 S) along which columns fall.
        down: the patient axis along which rows fall.
        normal: the patient axis that the plane cuts.
        letters: what is at the left, right, top and bottom edge.
    """

    name: str
    across: int
    down: int
    normal: int
    letters: tuple[str, str, str, str]


# The patient's right is on the left of the picture, the front of a sagittal picture too.
VIEWS = (
    View("axial", 0, 1, 2, ("R", "L", "A", "P")),
    View("coronal", 0, 2, 1, ("R", "L", "S", "I")),
    View("sagittal", 1, 2, 0, ("A", "P", "S", "I")),
)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A picture's pixel centres in the patient.

    Attributes:
        view: which plane.
        points_ras_mm: (rows, columns, 3).
        extent_mm: patient coordinates of the left, right, bottom and top edges.
        at_mm: where it cuts the normal axis.
    """

    view: View
    points_ras_mm: NDArray[np.float64]
    extent_mm: tuple[float, float, float, float]
    at_mm: float


def plane(view: View, bounds_ras_mm: Bounds, through: Point, pixel_mm: float) -> Plane:
    """The part of one plane that lies in a box.

    Args:
        view: axial, coronal or sagittal.
        bounds_ras_mm: (2, 3) lowest and highest patient coordinates, mm.
        through: a patient point on the plane.
        pixel_mm: edge of the square pixels.
    """
    low, high = bounds_ras_mm
    columns, rows = (max(1, round((high[a] - low[a]) / pixel_mm)) for a in (view.across, view.down))
    points = np.empty((rows, columns, 3))
    points[..., view.normal] = through[view.normal]
    points[..., view.across] = high[view.across] - (np.arange(columns) + 0.5) * pixel_mm
    points[..., view.down] = (high[view.down] - (np.arange(rows) + 0.5) * pixel_mm)[:, None]
    left, top = high[view.across], high[view.down]
    extent = (float(left), float(left - columns * pixel_mm), float(top - rows * pixel_mm), float(top))
    return Plane(view, points, extent, through[view.normal])


def grid_box_outline(affine: Affine, index: ArrayLike, view: View, at_mm: float) -> NDArray[np.float64]:
    """Where a plane cuts the box of one grid cell: a rectangle, or another polygon where the grid is oblique.

    Args:
        affine: (4, 4) grid index → patient RAS of the cell's centre, mm.
        index: (3,) the cell.
        view: the plane's direction.
        at_mm: the plane's coordinate on its normal axis.

    Returns:
        (corners, 2) patient coordinates along `view.across` and `view.down`, in order around the box; empty where the
        plane misses it.
    """
    signs = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners = apply(affine, np.asarray(index, dtype=np.float64) + signs)
    height = corners[:, view.normal] - at_mm
    crossings = [
        corners[a] + (corners[b] - corners[a]) * height[a] / (height[a] - height[b])
        for a, b in _cube_edges(signs)
        if height[a] * height[b] < 0
    ]
    if not crossings:
        return np.empty((0, 2))
    cut = np.asarray(crossings)[:, [view.across, view.down]]
    around = cut - cut.mean(axis=0)
    ordered: NDArray[np.float64] = cut[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
    return ordered


def _cube_edges(corners: NDArray[Any]) -> list[tuple[int, int]]:
    """Pairs of a cube's corners that differ in one coordinate."""
    pairs = [(a, b) for a in range(8) for b in range(a)]
    return [(a, b) for a, b in pairs if np.count_nonzero(corners[a] != corners[b]) == 1]
