"""Whether left and right are what the header says, told from the liver and the heart.

A chest stored mirrored looks well formed and puts every finding on the wrong side. The liver is the one solid organ
under the lungs that is thick enough to be left when 16 mm are taken off all around; the heart leans to the left of the
spine. Networks that learned where organs are in the header's frame put the liver on its usual side even where it is
not (measured with the starter weights), so the voxels themselves are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.lattice import index_in, lattice_of
from simcrop_core.imaging.lungs import GRID_MM, VOXEL_ML, LungEstimate, nearest_voxels
from simcrop_core.imaging.volume import Volume

_SOLID_HU = (20.0, 200.0)
_THICK_STEPS = 4  # of 4 mm
_SMOOTHED = 5  # voxels along the edge of the mean's cube
_ABOVE_BASE_MM = 40.0
_BESIDE_SPINE_MM = 30.0
_NARROWEST_HEART_MM = 30.0


@dataclass(frozen=True, slots=True)
class Sides:
    """Where liver and heart are.

    Attributes:
        solid_right_ml: thick solid organ under the lungs, right of the spine.
        solid_left_ml: the same on the left.
        heart_leans_right_mm: how far the middle between the lungs lies to the right of the spine, at the height of the
            heart; negative where it lies to the left; None where lungs are not beside each other there.
    """

    solid_right_ml: float
    solid_left_ml: float
    heart_leans_right_mm: float | None


def sides_of(volume: Volume, lungs: LungEstimate) -> Sides | None:
    """Where liver and heart are; None where the spine, and so the middle, is not found.

    Args:
        volume: the CT, HU.
        lungs: its lungs (`imaging.lungs.estimate_lungs`).
    """
    if lungs.midline_r_mm is None:
        return None
    rest = apply(lungs.affine, np.array(lungs.mask.shape) / 2)[1:]
    middle = float(index_in(lungs.affine, [lungs.midline_r_mm, *rest])[0])
    levels = np.flatnonzero(lungs.mask.any(axis=(0, 1)))
    solid = _thick_solid(volume, int(levels[0] + _ABOVE_BASE_MM / GRID_MM) + 1)
    across = solid.sum(axis=(1, 2)) * VOXEL_ML
    from_spine_mm = (np.arange(len(across)) - middle) * GRID_MM
    return Sides(
        solid_right_ml=float(across[from_spine_mm > _BESIDE_SPINE_MM].sum()),
        solid_left_ml=float(across[from_spine_mm < -_BESIDE_SPINE_MM].sum()),
        heart_leans_right_mm=_heart_lean_mm(lungs.mask, middle, levels),
    )


def _thick_solid(volume: Volume, top: int) -> NDArray[np.bool_]:
    """(x, y, z) what of the lowest `top` slices is solid 16 mm deep."""
    lattice = lattice_of(volume, (GRID_MM, GRID_MM, GRID_MM), "RAS")
    # Slices above are needed for as far as the erosion looks.
    hu = nearest_voxels(volume, lattice)[:, :, : top + _THICK_STEPS]
    smooth = ndimage.uniform_filter(hu, _SMOOTHED)
    solid = (smooth > _SOLID_HU[0]) & (smooth < _SOLID_HU[1])
    thick: NDArray[np.bool_] = ndimage.binary_erosion(solid, iterations=_THICK_STEPS)
    return thick[:, :, :top]


def _heart_lean_mm(mask: NDArray[np.bool_], middle: float, levels: NDArray[np.intp]) -> float | None:
    """Mean offset from the spine of the middle between the lungs' inner edges, over the lower half of the lungs."""
    height = levels[-1] - levels[0]
    lower = mask[:, :, int(levels[0] + 0.05 * height) : int(levels[0] + 0.55 * height)]
    index = np.arange(mask.shape[0])[:, None, None]
    right, left = lower & (index > middle), lower & (index < middle)
    both = right.any(axis=0) & left.any(axis=0)
    inner_right = right.argmax(axis=0)
    inner_left = len(left) - 1 - left[::-1].argmax(axis=0)
    gaps = np.where(both, inner_right - inner_left, 0)
    gaps[gaps * GRID_MM < _NARROWEST_HEART_MM] = 0
    if not gaps.any():
        return None
    centres = (inner_right + inner_left) / 2 - middle
    return float(np.average(centres, weights=gaps)) * GRID_MM
