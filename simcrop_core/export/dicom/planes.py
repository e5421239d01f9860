"""An array and its affine as the planes of a multi-frame DICOM object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine, apply

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Where the frames of an object are.

    Attributes:
        measures: spacing in and between planes.
        orientation: direction of rows and columns.
        positions: of the first pixel of each plane.
    """

    measures: PixelMeasuresSequence
    orientation: PlaneOrientationSequence
    positions: list[PlanePositionSequence]

    def keywords(self) -> dict[str, Any]:
        """As the arguments that highdicom's objects take."""
        return {
            "pixel_measures": self.measures,
            "plane_orientation": self.orientation,
            "plane_positions": self.positions,
        }


def planes_of(shape: tuple[int, ...], affine: Affine) -> Planes:
    """The planes of an (x, y, z) array: x runs along the rows, y down the columns, a plane for each z.

    Planes may be displaced against each other, as those of a tilted gantry are.

    Args:
        shape: of the array.
        affine: (4, 4) voxel → patient RAS, mm, whose first two axes are at right angles.
    """
    lps = _RAS_TO_LPS @ affine
    columns_mm, rows_mm = (float(np.linalg.norm(lps[:3, axis])) for axis in (0, 1))
    along_row, down_column = lps[:3, 0] / columns_mm, lps[:3, 1] / rows_mm
    apart_mm = abs(float(np.cross(along_row, down_column) @ lps[:3, 2]))
    return Planes(
        # Pixel Spacing gives the distance between rows first.
        PixelMeasuresSequence((rows_mm, columns_mm), slice_thickness=apart_mm, spacing_between_slices=apart_mm),
        PlaneOrientationSequence("PATIENT", (*along_row, *down_column)),
        [PlanePositionSequence("PATIENT", apply(lps, (0, 0, k)).tolist()) for k in range(shape[2])],
    )


def frames_of(array: NDArray[Any]) -> NDArray[Any]:
    """(x, y, z) voxels as (plane, row, column)."""
    return np.ascontiguousarray(np.transpose(array, (2, 1, 0)))
