"""Where a node's voxels are: 4 × 4 arrays (RAS, mm) from and to VTK, and points in the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray

Affine = NDArray[np.float64]
Point = tuple[float, float, float]


def array_of(matrix: vtk.vtkMatrix4x4) -> Affine:
    """A VTK matrix as (4, 4) float64."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_of(affine: Affine) -> vtk.vtkMatrix4x4:
    """(4, 4) numbers as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(affine, dtype=np.float64).ravel())
    return matrix


def affine_of(volume: Any) -> Affine:
    """(4, 4) voxel index → RAS, mm, of a volume node: its own, before any transform that the node is under."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return array_of(matrix)


def world_point(node: Any, point_ras_mm: Sequence[float]) -> Point:
    """Where a point of a node's own space lies in the world, with every transform above the node applied."""
    transform = node.GetParentTransformNode()
    if transform is None:
        r, a, s = (float(mm) for mm in point_ras_mm)
        return r, a, s
    to_world = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(to_world)
    r, a, s = to_world.TransformPoint(*point_ras_mm)
    return r, a, s


def local_point(node: Any, world_ras_mm: Sequence[float]) -> Point:
    """Where a point of the world lies in a node's own space."""
    transform = node.GetParentTransformNode()
    if transform is None:
        r, a, s = (float(mm) for mm in world_ras_mm)
        return r, a, s
    from_world = vtk.vtkGeneralTransform()
    transform.GetTransformFromWorld(from_world)
    r, a, s = from_world.TransformPoint(*world_ras_mm)
    return r, a, s


def patch_axes(affine: Affine) -> tuple[Affine, Point]:
    """The directions of a grid's axes as a rotation (4, 4) without translation, and the edges of one cell in mm.

    A left-handed grid has its last axis turned about: a box is the same either way.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    directions = np.eye(4)
    directions[:3, :3] = affine[:3, :3] / edges
    if np.linalg.det(directions[:3, :3]) < 0:
        directions[:3, 2] *= -1
    return directions, (float(edges[0]), float(edges[1]), float(edges[2]))
