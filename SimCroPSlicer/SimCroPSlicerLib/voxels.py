"""Voxels out of a volume node without copying them, and the key that says whether they have changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from simcrop_core.errors import NotASingleVolume
from SimCroPSlicerLib.frames import stored_image
from SimCroPSlicerLib.geometry import affine_of


@dataclass(frozen=True)
class VolumeKey:
    """Which voxels these are: the node, and when its voxels or its geometry last changed."""

    node_id: str
    image_time: int
    affine: bytes


def key_of(volume: Any) -> VolumeKey:
    """The key of a volume node as it is now. Window, name and transforms do not matter to it."""
    image = stored_image(volume)
    return VolumeKey(volume.GetID(), image.GetMTime() if image else 0, affine_of(volume).tobytes())


def voxels_of(volume: Any) -> NDArray[Any]:
    """(x, y, z) view of a volume node's voxels: nothing is copied.

    Raises:
        NotASingleVolume: the node is empty, or has colours or several values a voxel.
    """
    image = volume.GetImageData()
    scalars = image.GetPointData().GetScalars() if image else None
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        raise NotASingleVolume(
            f"The volume {volume.GetName()} is empty.", hint="Load a chest CT, or choose another volume."
        )
    if scalars.GetNumberOfComponents() != 1:
        raise NotASingleVolume(
            f"The volume {volume.GetName()} has {scalars.GetNumberOfComponents()} values a voxel; a CT has one.",
            hint="Choose the CT itself, not a colour or vector volume made from it.",
        )
    x, y, z = image.GetDimensions()
    kji: NDArray[Any] = vtk_to_numpy(scalars).reshape(z, y, x)
    if kji.dtype.name in ("int64", "uint64"):
        # No server takes these, and no CT needs them: the one case that copies.
        kji = kji.astype(np.float32)
    return kji.transpose(2, 1, 0)
