"""A chest drawn from a formula, for the test that runs inside Slicer without any download."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SimCroPSlicerLib.geometry import matrix_of
from SimCroPSlicerLib.scene import image_of
from SimCroPSlicerLib.segments import LABELMAP

SPACING_MM = 4.0
SHAPE = (72, 52, 56)


def drawn_chest(scene: Any) -> Any:
    """A volume node: body, two lungs, spine, a heart on the left, and a mass in the left lower lobe."""
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    points = grid * SPACING_MM + affine[:3, 3]

    def inside(centre: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
        within: NDArray[np.bool_] = (((points - np.array(centre)) / np.array(radii)) ** 2).sum(axis=-1) < 1
        return within

    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[inside((0, 0, 0), (170, 115, 1e6))] = 40
    hu[inside((-65, 5, 0), (48, 75, 120))] = -850
    hu[inside((65, 5, 0), (52, 75, 115))] = -850
    hu[inside((-20, 20, -30), (45, 40, 55))] = 50
    hu[inside((0, -90, 0), (16, 16, 1e6))] = 400
    hu[inside((-70, -35, -60), (16, 16, 16))] = 40
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "drawn chest")
    node.CreateDefaultDisplayNodes()
    node.SetIJKToRASMatrix(matrix_of(affine))
    node.SetAndObserveImageData(image_of(hu))
    return node


def voxels_inside(segmentation: Any) -> int:
    """How many voxels of a segmentation's shared label map are in a segment."""
    from vtk.util.numpy_support import vtk_to_numpy

    image = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation(LABELMAP)
    return int(np.count_nonzero(vtk_to_numpy(image.GetPointData().GetScalars())))
