"""What M3D-CLIP sees of a scan: the body, resized to one shape whatever its size (docs/methods/m3d.md)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.imaging.lattice import Lattice, Triple, lattice_of
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume
from simcrop_core.models.config import M3dConfig

# The body is looked for on a grid this coarse, among what is denser than this.
_GRID_MM = 4.0
_BODY_HU = -400.0
# −1…1 over this window is HU over 1000.
_SEARCH_WINDOW = (-1000.0, 1000.0)


def m3d_image(volume: Volume, config: M3dConfig) -> NDArray[np.float32]:
    """The input of M3D-CLIP's encoder for a scan.

    The box around the body is cut out and averaged down to the input's shape, each axis for itself. Slices come first,
    the head's first; a slice is as it is looked at: the first row is anterior, the first column the patient's right.

    Args:
        volume: the CT, HU.
        config: shape and HU window of the input.

    Returns:
        (1, slices, rows, columns) float32 in 0…1.
    """
    lattice, first, last = _body_box(volume)
    slices, rows, columns = config.image
    nx, ny, nz = (end - start for start, end in zip(first, last, strict=True))
    image_SRC = torch.empty(slices, rows, columns)
    for index in range(slices):
        # The bins of torch's adaptive average pooling, slice by slice: a whole scan at its own resolution is large.
        low, high = index * nz // slices, -(-(index + 1) * nz // slices)
        start = (first[0], first[1], first[2] + low)
        slab_XYZ = resample_box(volume, lattice, start, (nx, ny, high - low), hu_window=config.hu_window)
        plane_RC = torch.from_numpy(slab_XYZ).mean(dim=2).T.flip(0, 1)
        image_SRC[slices - 1 - index] = F.adaptive_avg_pool2d(plane_RC[None], (rows, columns))[0]
    image_1SRC: NDArray[np.float32] = image_SRC.add_(1).div_(2)[None].numpy()
    return image_1SRC


def _body_box(volume: Volume) -> tuple[Lattice, Triple, Triple]:
    """The scan's own voxels along RAS axes, and first and end index of the body on them; the whole scan if none is."""
    coarse = lattice_of(volume, (_GRID_MM, _GRID_MM, _GRID_MM), "RAS")
    hu = 1000 * resample_box(volume, coarse, (0, 0, 0), coarse.shape, hu_window=_SEARCH_WINDOW)
    x_mm, y_mm, z_mm = (volume.spacing_mm[axis] for axis in coarse.axes)
    fine = lattice_of(volume, (x_mm, y_mm, z_mm), "RAS")
    labels, parts = ndimage.label(ndimage.binary_opening(hu > _BODY_HU))
    if parts == 0:
        return fine, (0, 0, 0), fine.shape
    body = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    found = ndimage.find_objects((labels == body).astype(np.uint8))[0]
    first, last = [], []
    for along, spacing, count in zip(found, (x_mm, y_mm, z_mm), fine.shape, strict=True):
        # A voxel on either grid is a box around its point.
        low, high = ((face - 0.5) * _GRID_MM / spacing + 0.5 for face in (along.start, along.stop))
        first.append(min(max(round(low), 0), count - 1))
        last.append(max(min(round(high), count), first[-1] + 1))
    return fine, (first[0], first[1], first[2]), (last[0], last[1], last[2])
