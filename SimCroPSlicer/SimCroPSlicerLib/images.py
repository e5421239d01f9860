"""The image that a sentence names, "(series 4, image 112)", in a volume: by its DICOM numbers, never by a guess.

Neither the order of the files nor that of the slices says which image has which number: readers sort and turn stacks
about. So an image is found by the position that its own header gives, and only where that is a slice of the volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import slicer
from slicer.i18n import tr as _

from SimCroPSlicerLib.geometry import Affine, Point, affine_of, local_point, world_point
from SimCroPSlicerLib.tasks import Work

BY_NUMBER: Final = "DICOM numbers"
FROM_HEAD: Final = "slices from the head"
FROM_FEET: Final = "slices from the feet"
UIDS = "DICOM.instanceUIDs"
_SERIES_NUMBER, _INSTANCE_NUMBER, _POSITION = "0020,0011", "0020,0013", "0020,0032"
# Of a voxel: how far the corner that a header gives may be from the volume's own.
_IN_PLANE, _THROUGH_PLANE = 1.5, 0.25
# A stack counts as running from the feet to the head where its axis leans no more than some 45 degrees.
_LEAST_UPWARD = 0.7


@dataclass(frozen=True)
class Image:
    """One DICOM image of a volume.

    Attributes:
        series: its series number; None where the header gives none.
        number: its instance number.
        corner_ras_mm: centre of its first pixel, in the patient.
    """

    series: int | None
    number: int
    corner_ras_mm: Point


@dataclass(frozen=True)
class Place:
    """Where an image is, or in words why that cannot be said.

    Attributes:
        slice: index along the volume's last axis; None where it is not known.
        words: for the user.
    """

    slice: int | None
    words: str


def images_of(volume: Any) -> Work:
    """The images that a volume was made of, a header a step: from Slicer's DICOM database, or the volume's own files.

    Returns:
        `Image`s with number and position; none where the volume is not from DICOM.
    """
    database = getattr(slicer, "dicomDatabase", None)
    found: list[Image] = []
    uids = (volume.GetAttribute(UIDS) or "").split()
    if database is not None and database.isOpen:
        for uid in uids:
            yield None
            tags = (_SERIES_NUMBER, _INSTANCE_NUMBER, _POSITION)
            found += _image(*(str(database.instanceValue(uid, tag)) for tag in tags))
    if not found:
        for file in _files_of(volume):
            yield None
            found += _image(*_header_of(file))
    return found


def _files_of(volume: Any) -> list[Path]:
    storage = volume.GetStorageNode()
    if storage is None:
        return []
    names = [storage.GetFileName(), *(storage.GetNthFileName(i) for i in range(storage.GetNumberOfFileNames()))]
    return [Path(name) for name in dict.fromkeys(names) if name and Path(name).is_file()]


def _header_of(file: Path) -> tuple[str, str, str]:
    """Series number, instance number and position as DICOM writes them; "" where this is no DICOM."""
    # Slicer has pydicom; the panel's other parts do without it.
    import pydicom
    from pydicom.errors import InvalidDicomError

    tags = ["SeriesNumber", "InstanceNumber", "ImagePositionPatient"]
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, OSError, ValueError):
        return "", "", ""
    position = header.get("ImagePositionPatient") or ()
    return str(header.get("SeriesNumber") or ""), str(header.get("InstanceNumber") or ""), "\\".join(map(str, position))


def _image(series: str, number: str, position: str) -> list[Image]:
    try:
        left, posterior, superior = (float(mm) for mm in position.split("\\"))
        return [Image(int(series) if series.strip() else None, int(number), (-left, -posterior, superior))]
    except ValueError:
        return []


def place_of(reference: Mapping[str, Any], images: Sequence[Image], volume: Any, count: str = BY_NUMBER) -> Place:
    """Which slice of a volume a sentence names.

    Args:
        reference: `series` (or None) and `image`, as the engine reads them from the sentence.
        images: from `images_of`.
        volume: the node.
        count: how the report counts: `BY_NUMBER`, `FROM_HEAD` or `FROM_FEET`.
    """
    number, series = int(reference["image"]), reference.get("series")
    if count != BY_NUMBER:
        return _counted(number, volume, from_head=count == FROM_HEAD)
    if not images:
        words = _("The sentence names image {number}, but this volume has no DICOM numbers: choose how it is counted.")
        return Place(None, words.format(number=number))
    there = {image.series for image in images}
    here = ", ".join(sorted("?" if one is None else str(one) for one in there))
    if series is not None and series not in there:
        words = _("The sentence names image {number} of series {series}; this CT is series {here}.")
        return Place(None, words.format(number=number, series=series, here=here))
    named = [image for image in images if image.number == number and series in (None, image.series)]
    if len(named) != 1:
        words = _("This CT has no image {number}.") if not named else _("This CT has several images {number}.")
        return Place(None, words.format(number=number))
    index = slice_at(volume, named[0].corner_ras_mm)
    if index is None:
        words = _("Image {number} is no slice of this volume: it was cropped or resampled.")
        return Place(None, words.format(number=number))
    if series is None:
        words = _("Image {number}; the sentence names no series, this CT is series {here}.")
        return Place(index, words.format(number=number, here=here))
    return Place(index, _("Image {number} of series {series}.").format(number=number, series=series))


def _counted(number: int, volume: Any, *, from_head: bool) -> Place:
    slices = volume.GetImageData().GetDimensions()[2]
    axis = affine_of(volume)[:3, 2]
    upward = axis[2] / np.linalg.norm(axis)
    if abs(upward) < _LEAST_UPWARD:
        return Place(None, _("The slices of this volume do not run from the feet to the head."))
    if not 1 <= number <= slices:
        return Place(None, _("This volume has {count} slices.").format(count=slices))
    ascending = number - 1 if not from_head else slices - number
    index = ascending if upward > 0 else slices - 1 - ascending
    return Place(index, _("Slice {number} of {count}, as you chose to count.").format(number=number, count=slices))


def slice_at(volume: Any, corner_ras_mm: Point) -> int | None:
    """The slice of which this is the first pixel, in the volume's own space or where a transform has put it.

    A tilted gantry comes as a transform over a straight grid; a registration moves what was straight before.
    """
    for point in (corner_ras_mm, local_point(volume, corner_ras_mm)):
        index = _slice_with_corner(affine_of(volume), volume.GetImageData().GetDimensions(), point)
        if index is not None:
            return index
    return None


def _slice_with_corner(affine: Affine, shape: tuple[int, int, int], point: Point) -> int | None:
    i, j, k = (np.linalg.inv(affine) @ [*point, 1])[:3]
    off = [min(abs(at), abs(at - (size - 1))) for at, size in ((i, shape[0]), (j, shape[1]))]
    nearest = round(k)
    if max(off) > _IN_PLANE or abs(k - nearest) > _THROUGH_PLANE or not 0 <= nearest < shape[2]:
        return None
    return nearest


def point_in(volume: Any, index: int, near_ras_mm: Sequence[float] | None = None) -> Point:
    """A point of the world on a slice: in line with a point of the volume's own space, or the middle.

    Args:
        volume: the node.
        index: of the slice.
        near_ras_mm: a point of the volume's own space, such as a sentence's peak.
    """
    affine, shape = affine_of(volume), volume.GetImageData().GetDimensions()
    i, j = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    if near_ras_mm is not None:
        i, j = (np.linalg.inv(affine) @ [*near_ras_mm, 1])[:2]
    return world_point(volume, (affine @ [i, j, index, 1])[:3].tolist())
