"""From a phantom's own axes (RAS) to those a data set stores."""

from __future__ import annotations

from typing import TypeVar

import nibabel
import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine

Voxel = TypeVar("Voxel", bound=np.generic)


def oriented(voxels: NDArray[Voxel], affine: Affine, axes: str) -> tuple[NDArray[Voxel], Affine]:
    """The same voxels at the same places, along other axes.

    Args:
        voxels: three axes.
        affine: (4, 4) voxel → patient RAS, mm; its axes may point anywhere along the body's.
        axes: where the first, second and third axis shall point, such as "LPS".

    Returns:
        A view of the voxels, and its affine.
    """
    have = nibabel.orientations.io_orientation(affine)
    moves = nibabel.orientations.ornt_transform(have, nibabel.orientations.axcodes2ornt(axes))
    moved: NDArray[Voxel] = nibabel.orientations.apply_orientation(voxels, moves)
    back: Affine = nibabel.orientations.inv_ornt_aff(moves, voxels.shape)
    return moved, affine @ back
