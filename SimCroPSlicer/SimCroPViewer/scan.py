"""A CT out of a file into the scene: read by the engine's own readers, so that both see the same voxels and places."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from SimCroPSlicerLib.geometry import matrix_of
from SimCroPSlicerLib.scene import image_of

from simcrop_core.imaging.isolated import read_isolated
from simcrop_core.imaging.volume import Volume


def read(path: Path, series: str | None = None, frame: int | None = None) -> Volume:
    """A CT, its voxels laid out as the scene wants them; takes seconds, and touches no scene.

    It is parsed in a process of its own.

    Raises:
        SimCroPError: as `simcrop_core.imaging.isolated.read_isolated`.
    """
    volume = read_isolated(path, series=series, frame=frame).volume
    as_vtk: Any = np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)).transpose(2, 1, 0)
    return dataclasses.replace(volume, voxels=as_vtk)


def title_of(volume: Volume) -> str:
    """What the page and every result call it: its name, and which frame it is where it is one of a 4D file."""
    if volume.frame is None:
        return volume.name
    number, frames = volume.frame
    return f"{volume.name}, frame {number} of {frames}"


def add(scene: Any, volume: Volume) -> Any:
    """The CT as a volume node."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", title_of(volume))
    node.CreateDefaultDisplayNodes()
    node.SetIJKToRASMatrix(matrix_of(volume.affine))
    node.SetAndObserveImageData(image_of(volume.voxels))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    return node
