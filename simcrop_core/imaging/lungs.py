"""A quick threshold estimate of where the lungs are, good enough to place the model frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.lattice import Lattice, index_in, lattice_of
from simcrop_core.imaging.volume import Volume

GRID_MM = 4.0
VOXEL_ML = GRID_MM**3 / 1000
AIR_HU = -400.0
BONE_HU = 250.0
# Bowel gas and the air around a patient are emptier than any lung, emphysema included.
EMPTIEST_LUNG_HU = -975.0
SMALLEST_PART_ML = 60.0
SMALLEST_LUNGS_ML = 200.0
# A part this much smaller than the largest is a bowel loop, not the other lung.
SMALLEST_SHARE = 0.04
# A midline this near to the side of the scan is that of a half chest, and no midline.
CUT_IN_HALF_MM = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class LungEstimate:
    """Lung voxels on a coarse RAS grid.

    Attributes:
        mask: (x, y, z) bool on the coarse grid.
        affine: coarse grid → patient RAS, mm.
        volume_ml: of the mask.
        midline_r_mm: the R coordinate of the spine; None where it cannot be told or lies at the scan's edge.
        half: the side that the scan holds, where the spine lies at its edge.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    volume_ml: float
    midline_r_mm: float | None
    half: Literal["left", "right"] | None = None

    def box_ras_points(self) -> NDArray[np.float64]:
        """(8, 3) corners in RAS mm of the box around the lungs, along the coarse grid's axes."""
        return self._corners(self._bounds())

    def chest_ras_points(self) -> NDArray[np.float64]:
        """The same of the box as wide on both sides of the spine, as far as the scan reaches.

        A lung that holds no air (effusion, collapse) is found by no threshold; where the other lung is, it is too.
        """
        bounds = self._bounds()
        if self.midline_r_mm is not None:
            centre = apply(self.affine, (bounds[0] + bounds[1]) / 2)
            middle = float(index_in(self.affine, [self.midline_r_mm, centre[1], centre[2]])[0])
            low, high = bounds[:, 0]
            bounds[0, 0] = max(min(low, 2 * middle - high), -0.5)
            bounds[1, 0] = min(max(high, 2 * middle - low), self.mask.shape[0] - 0.5)
        return self._corners(bounds)

    def _bounds(self) -> NDArray[np.float64]:
        """(2, 3) low and high faces of the lung voxels, as grid indices."""
        found = ndimage.find_objects(self.mask.astype(np.uint8))[0]
        return np.array([[s.start - 0.5 for s in found], [s.stop - 0.5 for s in found]])

    def _corners(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply(self.affine, list(itertools.product(*bounds.T)))


def estimate_lungs(volume: Volume) -> LungEstimate | None:
    """Find the lungs by threshold and connectivity; None where fewer than 200 mL are found.

    Lung is air with body in front of it and behind it, in connected parts that are large, and denser than the gas of
    a stomach, a bowel or the room. This holds where the field of view cuts the body wall or the lungs themselves, and
    where the airway opens to the outside.
    """
    lattice = lattice_of(volume, (GRID_MM, GRID_MM, GRID_MM), "RAS")
    hu = nearest_voxels(volume, lattice)
    body = _largest_part(ndimage.binary_opening(hu > AIR_HU))
    lungs = _lung_parts((hu < AIR_HU) & _within_body_depth(body), hu)
    volume_ml = float(lungs.sum()) * VOXEL_ML
    if volume_ml < SMALLEST_LUNGS_ML:
        return None
    midline, half = _midline(hu, lungs, body, lattice)
    return LungEstimate(lungs, lattice.affine, volume_ml, midline, half)


def nearest_voxels(volume: Volume, lattice: Lattice) -> NDArray[np.float32]:
    """The voxel nearest to each lattice point: a strided look at the volume, without interpolation."""
    index: list[NDArray[np.int_]] = [np.empty(0, dtype=int)] * 3
    for axis in range(3):
        nearest = np.rint(lattice.voxel_coordinates(axis, np.arange(lattice.shape[axis]))).astype(int)
        index[lattice.axes[axis]] = np.clip(nearest, 0, volume.shape[lattice.axes[axis]] - 1)
    return volume.voxels[np.ix_(*index)].transpose(lattice.axes).astype(np.float32)


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == sizes.argmax()
    return largest


def _within_body_depth(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels with body both in front (A) and behind (P) in their own slice."""
    behind = np.logical_or.accumulate(body, axis=1)
    in_front = np.logical_or.accumulate(body[:, ::-1], axis=1)[:, ::-1]
    return behind & in_front


def _lung_parts(candidate: NDArray[np.bool_], hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The connected parts large and dense enough to be lung."""
    labels, count = ndimage.label(candidate)
    if count == 0:
        return candidate
    index = np.arange(1, count + 1)
    sizes_ml = ndimage.sum_labels(candidate, labels, index) * VOXEL_ML
    emptier_quarter = ndimage.labeled_comprehension(hu, labels, index, lambda v: np.quantile(v, 0.25), float, 0.0)
    lung = (sizes_ml >= SMALLEST_PART_ML) & (emptier_quarter > EMPTIEST_LUNG_HU)
    if lung.any():
        lung &= sizes_ml >= SMALLEST_SHARE * sizes_ml[lung].max()
    kept: NDArray[np.bool_] = np.isin(labels, index[lung])
    return kept


def _midline(
    hu: NDArray[np.float32], lungs: NDArray[np.bool_], body: NDArray[np.bool_], lattice: Lattice
) -> tuple[float | None, Literal["left", "right"] | None]:
    """The middle of spine and posterior ribs behind the lungs, R mm; or the one side there is, if it is at the edge."""
    _, rows, slices = ndimage.find_objects(lungs.astype(np.uint8))[0]
    posterior = slice(0, (rows.start + rows.stop) // 2)
    bone = np.argwhere((hu > BONE_HU)[:, posterior, slices] & body[:, posterior, slices])
    if len(bone) == 0:
        return None, None
    middle = np.median(bone, axis=0)
    middle[2] += slices.start
    to_left, to_right = middle[0] * GRID_MM, (lungs.shape[0] - 1 - middle[0]) * GRID_MM
    if min(to_left, to_right) >= CUT_IN_HALF_MM:
        return float(apply(lattice.affine, middle)[0]), None
    if max(to_left, to_right) < CUT_IN_HALF_MM:
        return None, None
    return None, "left" if to_left > to_right else "right"
