"""What a file says of its volume before any voxel is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from simcrop_core.imaging.affine import Affine, orientation, spacing_mm
from simcrop_core.results import PassportFinding

ORIENTATION_UNSTATED = PassportFinding(
    code="orientation-unstated",
    outcome="warned",
    message="The header does not say where left, front and head are; the format's default is assumed.",
    hint="Left and right may be exchanged. Export the volume again with its orientation.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """Shape, type, scaling and geometry as the file states them.

    Attributes:
        name: of the file or series; never a patient's.
        file_format: "NIfTI-1", "NIfTI-2", "NRRD", "MetaImage" or "DICOM".
        shape: voxels along x, y, z.
        affine: (4, 4) voxel index → patient RAS in mm.
        stored_type: numpy's name of the type on disk, such as "int16".
        slope: stored × slope + intercept are the units the file states.
        intercept: see `slope`.
        file_bytes: on disk, all files together.
        findings: what is odd about the header.
        frame: which volume of a 4D file, from 1, and how many it holds; None of any other.
    """

    name: str
    file_format: str
    shape: tuple[int, int, int]
    affine: Affine
    stored_type: str
    slope: float
    intercept: float
    file_bytes: int
    findings: tuple[PassportFinding, ...] = ()
    frame: tuple[int, int] | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along x, y, z in mm."""
        x, y, z = (float(s) for s in spacing_mm(self.affine))
        return x, y, z

    @property
    def orientation(self) -> str:
        """Nearest anatomical direction of the array axes, such as "LPS"."""
        return "".join(orientation(self.affine))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Field of view along x, y, z in mm."""
        x, y, z = (n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z
