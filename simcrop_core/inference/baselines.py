"""What a network has to beat: lungs by threshold, and the guess that everything is in the middle of the lungs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.lattice import lattice_of
from simcrop_core.imaging.lungs import AIR_HU, LungEstimate, estimate_lungs
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.segmentation import Labelmap

_SPACING_MM = (1.5, 1.5, 3.0)
_HU_WINDOW = (-1000.0, 1000.0)
_VESSEL_RADIUS = 3
LUNG_NAMES = {1: "left lung", 2: "right lung"}


def threshold_lungs(volume: Volume) -> Labelmap | None:
    """Left and right lung by threshold, connectivity and closing of vessels; None where no lungs are found.

    Works at 1.5 × 1.5 × 3.0 mm and gives labels on the volume's grid.
    """
    estimate = estimate_lungs(volume)
    if estimate is None:
        return None
    lattice = lattice_of(volume, _SPACING_MM, "RAS")
    image = resample_box(volume, lattice, (0, 0, 0), lattice.shape, hu_window=_HU_WINDOW)
    to_estimate = np.linalg.inv(estimate.affine) @ lattice.affine
    sides = _looked_up(_sides(estimate), to_estimate, lattice.shape)
    lungs = (image < AIR_HU / _HU_WINDOW[1]) & (sides > 0)
    disc = np.hypot(*np.ogrid[-_VESSEL_RADIUS : _VESSEL_RADIUS + 1, -_VESSEL_RADIUS : _VESSEL_RADIUS + 1])
    lungs = ndimage.binary_closing(lungs, structure=(disc <= _VESSEL_RADIUS)[:, :, None])
    labels = np.where(lungs, sides, 0).astype(np.uint8)
    to_lattice = np.linalg.inv(lattice.affine) @ volume.affine
    return Labelmap(_looked_up(labels, to_lattice, volume.shape), volume.affine, LUNG_NAMES)


def _sides(estimate: LungEstimate) -> NDArray[np.uint8]:
    """1 near the left lung and 2 near the right one, 0 away from both, on the estimate's grid."""
    core, count = ndimage.label(ndimage.binary_erosion(estimate.mask, iterations=2))
    centres = ndimage.center_of_mass(core > 0, core, np.arange(1, count + 1))
    middle = estimate.midline_r_mm
    if middle is None:
        middle = float(np.median(apply(estimate.affine, np.argwhere(estimate.mask))[:, 0]))
    side = np.array([0, *(1 if apply(estimate.affine, centre)[0] < middle else 2 for centre in centres)])
    nearest = ndimage.distance_transform_edt(core == 0, return_distances=False, return_indices=True)
    near = ndimage.binary_dilation(estimate.mask, iterations=2)
    return np.where(near, side[core[tuple(nearest)]], 0).astype(np.uint8)


def _looked_up(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """The nearest label at every voxel of another grid; `affine` maps its voxels to label indices."""
    found: NDArray[np.uint8] = ndimage.affine_transform(
        labels, affine[:3, :3], affine[:3, 3], output_shape=shape, order=0, mode="constant"
    )
    return found


def lung_centre_ras_mm(estimate: LungEstimate) -> NDArray[np.float64]:
    """The middle of all lung voxels, RAS mm: a guess that needs no sentence."""
    return apply(estimate.affine, np.argwhere(estimate.mask).mean(axis=0))
