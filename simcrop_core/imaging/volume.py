"""One CT volume: voxels in Hounsfield units and where they are in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine, orientation, spacing_mm
from simcrop_core.results import PassportFinding


@dataclass(frozen=True, slots=True)
class DicomOrigin:
    """What a DICOM series says of itself that a sentence may refer to ("series 4, image 112").

    Attributes:
        series_number: (0020,0011), or None where the series has none.
        instance_numbers: (0020,0013) of each slice, in the order of the third array axis.
        series_uid: (0020,000E).
        description: (0008,103E), or "".
    """

    series_number: int | None
    instance_numbers: tuple[int | None, ...]
    series_uid: str
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels and geometry; no behaviour beyond naming what is there.

    Attributes:
        voxels: (x, y, z) int16 or float32, Hounsfield units. Any strides: readers give the file's own order.
        affine: (4, 4) float64, voxel index → patient RAS in mm.
        name: what to call it in results (a file or series name, never a patient's).
        dicom: present when it came from a DICOM series.
        findings: what the reader saw in the header that voxels and affine no longer tell; the passport passes it on.
        frame: which volume of a 4D file, from 1, and how many it holds; None of any other.
    """

    voxels: NDArray[np.int16] | NDArray[np.float32]
    affine: Affine
    name: str = "volume"
    dicom: DicomOrigin | None = field(default=None)
    findings: tuple[PassportFinding, ...] = ()
    frame: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        assert self.voxels.ndim == 3, f"a volume has three axes, not {self.voxels.ndim}"
        assert self.affine.shape == (4, 4)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = self.voxels.shape
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along x, y, z in mm."""
        x, y, z = (float(s) for s in spacing_mm(self.affine))
        return x, y, z

    @property
    def orientation(self) -> str:
        """Nearest anatomical direction of the array axes, such as "LPS"."""
        return "".join(orientation(self.affine))
