"""The regular grid at model spacing that a volume is resampled onto, and on which frames are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import nibabel
import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcrop_core.imaging.affine import Affine, apply, spacing_mm
from simcrop_core.imaging.volume import Volume

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A grid with the volume's own directions, its axes permuted and flipped, at another spacing.

    Its first point is the centre of the volume's first voxel along the permuted and flipped axes, and point i lies at
    voxel i × step: the convention of MONAI's `Orientation` followed by `Spacing`, which the paper's preprocessing uses.

    Attributes:
        affine: (4, 4) lattice index → patient RAS, mm.
        shape: points that the volume covers.
        axes: the volume axis along which each lattice axis runs.
        flipped: whether it runs backwards there.
        step: volume voxels per lattice point, along each lattice axis.
        volume_shape: voxels of the volume.
    """

    affine: Affine
    shape: Triple
    axes: Triple
    flipped: tuple[bool, bool, bool]
    step: tuple[float, float, float]
    volume_shape: Triple

    def voxel_coordinates(self, axis: int, index: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel coordinates, on the volume axis `axes[axis]`, of indices along lattice axis `axis`."""
        along = np.asarray(index, dtype=np.float64) * self.step[axis]
        return (self.volume_shape[self.axes[axis]] - 1) - along if self.flipped[axis] else along

    def index_of_voxels(self, axis: int, voxel: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices along lattice axis `axis` of coordinates on the volume axis `axes[axis]`."""
        along = np.asarray(voxel, dtype=np.float64)
        if self.flipped[axis]:
            along = (self.volume_shape[self.axes[axis]] - 1) - along
        return along / self.step[axis]


def lattice_of(volume: Volume, spacing: tuple[float, float, float], axes: Literal["RAS", "stored"]) -> Lattice:
    """The lattice of a volume at a spacing in mm, along the nearest RAS+ axes or as stored.

    The number of points is round((n − 1) · voxel / spacing + 1) along each axis.
    """
    permuted, flipped = _permutation(volume.affine) if axes == "RAS" else ((0, 1, 2), (False, False, False))
    voxel_mm = spacing_mm(volume.affine)
    step = tuple(float(spacing[a] / voxel_mm[permuted[a]]) for a in range(3))
    shape = tuple(round((volume.shape[permuted[a]] - 1) / step[a] + 1) for a in range(3))
    to_voxel = np.zeros((4, 4))
    to_voxel[3, 3] = 1.0
    for a in range(3):
        to_voxel[permuted[a], a] = -step[a] if flipped[a] else step[a]
        to_voxel[permuted[a], 3] = volume.shape[permuted[a]] - 1 if flipped[a] else 0
    return Lattice(
        affine=volume.affine @ to_voxel,
        shape=(shape[0], shape[1], shape[2]),
        axes=permuted,
        flipped=flipped,
        step=(step[0], step[1], step[2]),
        volume_shape=volume.shape,
    )


def _permutation(affine: Affine) -> tuple[Triple, tuple[bool, bool, bool]]:
    """For each patient axis R, A, S: the nearest voxel axis, and whether it runs backwards."""
    orientation = nibabel.orientations.io_orientation(affine)
    order = [int(np.flatnonzero(orientation[:, 0] == patient_axis)[0]) for patient_axis in range(3)]
    flips = [bool(orientation[voxel_axis, 1] < 0) for voxel_axis in order]
    return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])


def index_in(affine: Affine, points_ras_mm: ArrayLike) -> NDArray[np.float64]:
    """Fractional grid indices, shape (..., 3), of patient points under a grid's affine."""
    inverse: Affine = np.linalg.inv(affine).astype(np.float64)
    return apply(inverse, points_ras_mm)
