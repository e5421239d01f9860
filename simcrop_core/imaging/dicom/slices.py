"""What the header of one DICOM object says: its CT slices, or why it holds none."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

_SINGLE_FRAME = CTImageStorage
_MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_TAGS = [
    "BitsAllocated",
    "Columns",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "Modality",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PixelRepresentation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SamplesPerPixel",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SharedFunctionalGroupsSequence",
    "SOPClassUID",
    "SOPInstanceUID",
    "SpecificCharacterSet",
]
DAMAGED = "damaged file"
NO_POSITION = "slice without a position"
NOT_DICOM = "not DICOM"
# Reasons that do not tell what the file is.
UNCLEAR = frozenset({DAMAGED, NO_POSITION, NOT_DICOM})

# Words of Image Type (0008,0008): the highest or lowest value along a ray is no HU of any place.
_PROJECTIONS = {"MIP", "MAX_IP", "MAXIP", "MINIP", "MIN_IP", "PROJECTION"}
_PREAMBLE = 128
_MAGIC = b"DICM"
# Old files start with their first element, of group 0002 or 0008, little endian.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_DAMAGE = (
    InvalidDicomError,
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Slice:
    """One CT slice: where its pixels are and what its header says of them.

    Attributes:
        path: the file.
        frame: its place in a multi-frame file, from 0; None where the file is one slice.
        instance_uid: (0008,0018), or "" where the file has none.
        instance_number: (0020,0013); the frame's number in a multi-frame file.
        series_uid: (0020,000E).
        series_number: (0020,0011).
        description: (0008,103E).
        size: columns, rows.
        spacing_mm: between columns, between rows.
        orientation: unit vectors along a row and along a column, in LPS.
        position: centre of the first pixel, LPS mm.
        slope: stored × slope + intercept = HU.
        intercept: see `slope`.
        stored_type: such as "uint16".
    """

    path: Path
    frame: int | None
    instance_uid: str
    instance_number: int | None
    series_uid: str
    series_number: int | None
    description: str
    size: tuple[int, int]
    spacing_mm: tuple[float, float]
    orientation: tuple[float, ...]
    position: tuple[float, float, float]
    slope: float
    intercept: float
    stored_type: str

    @property
    def normal(self) -> tuple[float, float, float]:
        """Unit vector across the slice (row × column), LPS."""
        rx, ry, rz, cx, cy, cz = self.orientation
        return ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx

    @property
    def along_normal_mm(self) -> float:
        """Signed distance of the slice's plane from the origin."""
        return sum(a * b for a, b in zip(self.position, self.normal, strict=True))


class NoSliceError(Exception):
    """An object without a CT slice; its text says what it is instead."""


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file that begins with `start` (132 bytes or more) is worth parsing."""
    return start[_PREAMBLE : _PREAMBLE + 4] == _MAGIC or start[:2] in _FIRST_GROUPS


def read_slices(path: Path) -> list[Slice]:
    """The CT slices of one file, from its header alone: one, or the frames of a multi-frame object.

    Raises:
        NoSliceError: a localizer, a projection, a report, another modality, no position, or damaged.
    """
    with path.open("rb") as file:
        start = file.read(_PREAMBLE + 4)
        if not looks_like_dicom(start):
            raise NoSliceError(NOT_DICOM)
        file.seek(0)
        try:
            bare = start[_PREAMBLE:] != _MAGIC
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=bare)
            _require_ct(dataset)
            return _frames(path, dataset) if _sop_class(dataset) in _MULTI_FRAME else [_single(path, dataset)]
        except _DAMAGE as error:
            raise NoSliceError(DAMAGED) from error


def _require_ct(dataset: Dataset) -> None:
    modality = str(dataset.get("Modality") or "")
    sop_class = _sop_class(dataset)
    is_ct_class = sop_class == _SINGLE_FRAME or sop_class in _MULTI_FRAME
    has_image = bool(dataset.get("Rows") and dataset.get("Columns"))
    if is_ct_class and not (modality and has_image):
        raise NoSliceError(DAMAGED)
    if modality != "CT":
        raise NoSliceError(f"{modality} object" if modality else "not an image")
    if (sop_class and not is_ct_class) or not has_image or int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise NoSliceError("secondary capture or report")
    image_type = {word for part in _several(dataset.get("ImageType")) for word in str(part).upper().split()}
    if image_type & {"LOCALIZER", "SCOUT"}:
        raise NoSliceError("localizer")
    if image_type & _PROJECTIONS:
        raise NoSliceError("projection (MIP)")


def _sop_class(dataset: Dataset) -> str:
    """The object's class; some anonymisers empty it in the data set and leave it in the file's meta header."""
    return str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")


def _single(path: Path, dataset: Dataset) -> Slice:
    return _slice(
        path, None, dataset, _Geometry.of(dataset, dataset, dataset), _optional_int(dataset, "InstanceNumber")
    )


def _frames(path: Path, dataset: Dataset) -> list[Slice]:
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    slices = []
    for index, own in enumerate(frames):
        groups = [_group(name, own, shared) for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures")]
        rescale = _group("PixelValueTransformation", own, shared)
        geometry = _Geometry.of(*groups, rescale=rescale)
        slices.append(_slice(path, index, dataset, geometry, index + 1))
    if not slices:
        raise NoSliceError("multi-frame object without positions")
    return slices


@dataclass(frozen=True, slots=True)
class _Geometry:
    """The numbers that a single-frame object keeps at its top and a multi-frame one in groups for each frame."""

    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    row_spacing: float
    column_spacing: float
    slope: float
    intercept: float

    @classmethod
    def of(
        cls, position: Dataset, orientation: Dataset, measures: Dataset, *, rescale: Dataset | None = None
    ) -> _Geometry:
        """Raises NoSliceError where one of them is missing or no number."""
        scaling = measures if rescale is None else rescale
        x, y, z = _numbers(position, "ImagePositionPatient", 3)
        row_spacing, column_spacing = _numbers(measures, "PixelSpacing", 2)
        slope, intercept = scaling.get("RescaleSlope"), scaling.get("RescaleIntercept")
        return cls(
            position=(x, y, z),
            orientation=_unit_vectors(_numbers(orientation, "ImageOrientationPatient", 6)),
            row_spacing=row_spacing,
            column_spacing=column_spacing,
            slope=1.0 if slope is None else float(slope),
            intercept=0.0 if intercept is None else float(intercept),
        )


def _slice(path: Path, frame: int | None, dataset: Dataset, geometry: _Geometry, instance_number: int | None) -> Slice:
    signed = int(dataset.get("PixelRepresentation") or 0)
    return Slice(
        path=path,
        frame=frame,
        instance_uid=str(dataset.get("SOPInstanceUID") or dataset.file_meta.get("MediaStorageSOPInstanceUID") or ""),
        instance_number=instance_number,
        series_uid=str(dataset.get("SeriesInstanceUID") or ""),
        series_number=_optional_int(dataset, "SeriesNumber"),
        description=str(dataset.get("SeriesDescription") or "").strip(),
        size=(int(dataset.Columns), int(dataset.Rows)),
        spacing_mm=(geometry.column_spacing, geometry.row_spacing),
        orientation=geometry.orientation,
        position=geometry.position,
        slope=geometry.slope,
        intercept=geometry.intercept,
        stored_type=f"{'int' if signed else 'uint'}{int(dataset.get('BitsAllocated') or 16)}",
    )


def _group(name: str, own: Dataset, shared: Dataset) -> Dataset:
    return _first(own.get(f"{name}Sequence") or shared.get(f"{name}Sequence"))


def _first(sequence: Sequence[Dataset] | None) -> Dataset:
    return sequence[0] if sequence else Dataset()


def _several(value: object) -> Sequence[object]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    assert isinstance(value, Sequence)
    return value


def _optional_int(dataset: Dataset, keyword: str) -> int | None:
    value = dataset.get(keyword)
    return None if value is None or value == "" else int(value)


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float]:
    numbers = [float(value) for value in dataset.get(keyword) or ()]
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise NoSliceError(NO_POSITION)
    return numbers


def _unit_vectors(orientation: list[float]) -> tuple[float, ...]:
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    if min(lengths) == 0:
        raise NoSliceError(NO_POSITION)
    return (*(value / lengths[0] for value in row), *(value / lengths[1] for value in column))
