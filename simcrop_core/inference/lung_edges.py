"""The edge of the lungs, decided again by density on the scan's own voxels.

A network that sees voxels of several millimetres cannot draw an edge that is thinner. Between air and soft tissue the
scan itself can: which side a lung is on, and where it is solid, comes from the network; the last millimetres come from
the scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from simcrop_core.imaging.affine import spacing_mm
from simcrop_core.imaging.lattice import Lattice
from simcrop_core.imaging.lungs import AIR_HU
from simcrop_core.imaging.volume import Volume

_T = TypeVar("_T", bound=np.generic)
_AIRWAYS = ("trachea",)
# Air this near to what the network calls a lung may belong to it, if it is connected.
NEAR_MM = 12.0
# What the network calls a lung this far from its edge is one, whatever its density: consolidated, collapsed, a mass.
DEEP_MM = 8.0
# Vessels and walls of airways up to twice this wide belong to the lung around them.
VESSEL_MM = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Lungs:
    """Lungs on the grid of a volume.

    Attributes:
        voxels: (x, y, z) bool of the volume's voxels in `box`.
        box: there is no lung outside it.
        values: the network's labels that are lungs or lobes.
        beyond: (3, n) the lattice points beyond the network's edge that may be lung.
        edge: (3, n) of each, the nearest point that the network calls lung.
    """

    voxels: NDArray[np.bool_]
    box: tuple[slice, slice, slice]
    values: list[int]
    beyond: NDArray[np.intp]
    edge: NDArray[np.intp]

    def spread(self, scores_CHWD: Tensor) -> None:
        """Let the scores of lungs go on beyond the network's edge as they are at it: a side stays a side."""
        (h, w, d), (at_h, at_w, at_d) = torch.from_numpy(self.beyond), torch.from_numpy(self.edge)
        for value in self.values:
            scores_CHWD[value, h, w, d] = scores_CHWD[value, at_h, at_w, at_d]

    def best(self, scores_CXY: Tensor, rows: slice, columns: slice, z: int) -> Tensor:
        """The best label of each voxel of a part of one slice: of the lungs' where lungs are, else of the others'.

        Args:
            scores_CXY: of the part; those of lungs are lost.
            rows: of the volume's voxels along x that it covers.
            columns: the same along y.
            z: the slice.
        """
        here = torch.zeros(scores_CXY.shape[1:], dtype=torch.bool)
        x, y, through = self.box
        if through.start <= z < through.stop:
            inside = (_within(rows, x), _within(columns, y))
            part = self.voxels[_within(x, rows), _within(y, columns), z - through.start]
            here[inside] = torch.from_numpy(np.ascontiguousarray(part))
        lung = torch.tensor(self.values)[best_label(scores_CXY[self.values])]
        scores_CXY[self.values] = -torch.inf
        return torch.where(here, lung, best_label(scores_CXY))


def best_label(scores_C: Tensor) -> Tensor:
    """The label with the highest score, (labels, …) → (…)."""
    # On a CPU, torch's argmax over the first axis takes five times as long as this.
    return scores_C.max(dim=0).indices


def _within(one: slice, other: slice) -> slice:
    """What two spans share, counted from the start of the first."""
    start = max(one.start, other.start)
    return slice(start - one.start, max(start, min(one.stop, other.stop)) - one.start)


def lungs_by_density(
    labels_HWD: NDArray[np.uint8], lattice: Lattice, volume: Volume, names: Sequence[str]
) -> Lungs | None:
    """Draw the edge of the lungs on a volume by its HU; None where the network found no lung.

    Args:
        labels_HWD: what the network says, on the lattice.
        lattice: of the volume.
        volume: the CT, HU.
        names: of the labels, by value: those of lungs and lobes end in these words.
    """
    values = lung_values(names)
    lung_HWD = np.isin(labels_HWD, values)
    if not lung_HWD.any():
        return None
    spacing = tuple(spacing_mm(lattice.affine))
    away_mm, nearest = ndimage.distance_transform_edt(~lung_HWD, sampling=spacing, return_indices=True)
    airways = [value for value, name in enumerate(names) if name in _AIRWAYS]
    allowed_HWD = (away_mm <= NEAR_MM) & ~np.isin(labels_HWD, airways)
    deep_HWD = ndimage.distance_transform_edt(lung_HWD, sampling=spacing) > DEEP_MM

    grid = _Lookup(lattice, ndimage.find_objects(allowed_HWD.astype(np.uint8))[0])
    allowed = grid(allowed_HWD)
    air = (volume.voxels[grid.box] < AIR_HU) & allowed
    found = _mostly_in(air, grid(lung_HWD)) | grid(deep_HWD)
    found = ndimage.binary_closing(found, structure=_disc(volume, lattice.axes[2])) & allowed
    beyond = np.stack(np.nonzero(allowed_HWD & ~lung_HWD))
    return Lungs(found, grid.box, values, beyond, nearest[:, *beyond].astype(np.intp))


def lung_values(names: Sequence[str]) -> list[int]:
    """The labels that are lungs or lobes of lungs."""
    return [value for value, name in enumerate(names) if name.endswith((" lung", " lobe"))]


class _Lookup:
    """Reads maps on the lattice at the voxels of a volume, within a box of the lattice."""

    def __init__(self, lattice: Lattice, found: tuple[slice, ...]) -> None:
        index, box = [], []
        for volume_axis in range(3):
            axis = lattice.axes.index(volume_axis)
            every = np.rint(lattice.index_of_voxels(axis, np.arange(lattice.volume_shape[volume_axis])))
            inside = np.flatnonzero((every >= found[axis].start) & (every < found[axis].stop))
            box.append(slice(int(inside[0]), int(inside[-1]) + 1))
            index.append(every[inside].astype(np.intp))
        self.box = (box[0], box[1], box[2])
        self._index, self._to_volume = index, [lattice.axes.index(axis) for axis in range(3)]

    def __call__(self, map_HWD: NDArray[_T]) -> NDArray[_T]:
        return map_HWD.transpose(self._to_volume)[np.ix_(*self._index)]


def _mostly_in(air: NDArray[np.bool_], lung: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of air of which more than half is in the lung: no bowel, no room beyond a thin wall."""
    parts, count = ndimage.label(air)
    if not count:
        return air
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    inside = np.bincount(parts[lung], minlength=count + 1)
    kept = 2 * inside > sizes
    kept[0] = False
    found: NDArray[np.bool_] = kept[parts]
    return found


def _disc(volume: Volume, through: int) -> NDArray[np.bool_]:
    """A disc of `VESSEL_MM` in the plane of slices, as voxels of the volume."""
    reach = [0 if axis == through else int(VESSEL_MM / mm) for axis, mm in enumerate(spacing_mm(volume.affine))]
    offsets = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    squared = sum((offset * mm) ** 2 for offset, mm in zip(offsets, spacing_mm(volume.affine), strict=True))
    disc: NDArray[np.bool_] = squared <= VESSEL_MM**2
    return disc
