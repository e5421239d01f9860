"""What every data set is read into: studies of scans and one report, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Exclusion = Literal["bad-name", "duplicate", "no-chest", "no-file", "no-report", "no-spacing"]


@dataclass(frozen=True, slots=True)
class StatedGeometry:
    """Where a scan's voxels are by its data set's table, where the file itself does not say.

    Attributes:
        spacing_mm: along the first, second and third axis.
        directions_lps: unit vectors of the first two axes, LPS; the third is at right angles to both.
        origin_lps_mm: the first voxel, LPS.
    """

    spacing_mm: tuple[float, float, float]
    directions_lps: tuple[tuple[float, float, float], tuple[float, float, float]]
    origin_lps_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Rescale:
    """`stored × slope + intercept` are HU, by the data set's table."""

    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class FindingMasks:
    """Where findings are, as people outlined them.

    Attributes:
        path: NIfTI (finding, x, y, z), above 0 where the finding is, on the scan's own voxels.
        split: of the set that outlined them.
        texts: of each finding.
        topics: of each finding: its kind.
    """

    path: Path
    split: str
    texts: tuple[str, ...]
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceVolume:
    """One scan of a data set.

    Attributes:
        name: unique in the set.
        path: a file or a DICOM folder.
        rescale: of what the file states, before it is HU; None where the file states HU.
        geometry: instead of the file's; None where the file's is right.
        stated_spacing_mm: what the set's table says of a file whose own geometry is used; None where it says nothing.
        masks: of findings; None where nobody outlined any.
        organs: NIfTI with a label map on the scan's own voxels; None where there is none.
    """

    name: str
    path: Path
    rescale: Rescale | None = None
    geometry: StatedGeometry | None = None
    stated_spacing_mm: tuple[float, float, float] | None = None
    masks: FindingMasks | None = None
    organs: Path | None = None


@dataclass(frozen=True, slots=True)
class SourceStudy:
    """One examination of a data set.

    Attributes:
        key: unique in the set.
        patient: who was scanned.
        split: of the set.
        volumes: its reconstructions.
        findings: the report's section as written.
        impression: the report's section as written.
        labels: the set's positive labels; None where it labels nothing.
    """

    key: str
    patient: str
    split: str
    volumes: tuple[SourceVolume, ...]
    findings: str
    impression: str
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A scan that is not used, and why.

    Attributes:
        name: of the scan.
        code: of what rules it out: an `Exclusion` by the tables alone, or the code of the error that reading it raised.
        reason: in words.
    """

    name: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as its tables tell; no scan was opened.

    Attributes:
        name: of the set.
        terms: under which it, and whatever is made from it, may be used.
        studies: by key.
        left_out: scans that are not used.
        remarks: what its user should know.
    """

    name: str
    terms: str
    studies: tuple[SourceStudy, ...]
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = field(default=())
