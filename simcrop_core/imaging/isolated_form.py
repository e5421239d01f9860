"""A scan as the process that reads it describes it: JSON there, and here back again with every field judged."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.single_volume import single_volume
from simcrop_core.imaging.volume import DicomOrigin, Volume
from simcrop_core.results import Outcome, PassportFinding

_VOXEL_TYPES = ("int16", "float32")
_LONGEST_TEXT = 100_000
_MOST_FINDINGS = 100
_BELOW = [0.0, 0.0, 0.0, 1.0]


def description_of(header: Header, volume: Volume) -> dict[str, Any]:
    """Everything but the voxels; what a volume shares with its header is said once."""
    assert volume.shape == header.shape
    assert volume.name == header.name
    assert np.array_equal(volume.affine, header.affine, equal_nan=True)
    assert volume.findings == header.findings
    assert volume.frame == header.frame
    dicom = volume.dicom
    return {
        "name": header.name,
        "file_format": header.file_format,
        "shape": list(header.shape),
        "affine": header.affine.tolist(),
        "stored_type": header.stored_type,
        "slope": float(header.slope),
        "intercept": float(header.intercept),
        "file_bytes": int(header.file_bytes),
        "findings": [[one.code, one.outcome, one.message, one.hint] for one in header.findings],
        "frame": header.frame and list(header.frame),
        "voxel_type": volume.voxels.dtype.name,
        "dicom": dicom and [dicom.series_number, list(dicom.instance_numbers), dicom.series_uid, dicom.description],
    }


def header_of(description: Any) -> Header:
    """The header in a description.

    Raises:
        KeyError, TypeError, ValueError: it is none.
        SimCroPError: it is none of a single volume.
    """
    name = _text(description["name"])
    return Header(
        name=name,
        file_format=_text(description["file_format"]),
        shape=single_volume([_whole(size) for size in _listed(description["shape"], 3)], name=name),
        affine=_affine(description["affine"]),
        stored_type=_text(description["stored_type"]),
        slope=_number(description["slope"]),
        intercept=_number(description["intercept"]),
        file_bytes=_whole(description["file_bytes"]),
        findings=tuple(_finding(one) for one in _listed(description["findings"])[:_MOST_FINDINGS]),
        frame=_frame(description["frame"]),
    )


def voxel_type_of(description: Any) -> np.dtype[Any]:
    """The type of the voxels that go with a description.

    Raises:
        KeyError, TypeError, ValueError: it names none.
    """
    name: str = _one_of(_VOXEL_TYPES, description["voxel_type"])
    return np.dtype(name)


def dicom_of(description: Any, slices: int) -> DicomOrigin | None:
    """What is said of a DICOM series of so many slices, where the scan is one.

    Raises:
        KeyError, TypeError, ValueError: it is not what is said of a series.
    """
    if description["dicom"] is None:
        return None
    number, images, uid, words = _listed(description["dicom"], 4)
    return DicomOrigin(
        series_number=None if number is None else _whole(number),
        instance_numbers=tuple(None if image is None else _whole(image) for image in _listed(images, slices)),
        series_uid=_text(uid),
        description=_text(words),
    )


def _affine(rows: Any) -> Affine:
    affine = np.array([[_number(value) for value in _listed(row, 4)] for row in _listed(rows, 4)], np.float64)
    if affine[3].tolist() != _BELOW:
        raise ValueError("the last row of an affine is 0 0 0 1")
    return affine


def _frame(pair: Any) -> tuple[int, int] | None:
    if pair is None:
        return None
    number, frames = (_whole(part) for part in _listed(pair, 2))
    if not 1 <= number <= frames:
        raise ValueError("a frame is one of several")
    return number, frames


def _finding(fields: Any) -> PassportFinding:
    code, outcome, message, hint = (_text(field) for field in _listed(fields, 4))
    return PassportFinding(code, _one_of(get_args(Outcome), outcome), message, hint)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise TypeError("not a text")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, float):
        raise TypeError("not a number")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    return value


def _listed(value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise TypeError("not a list of that length")
    return value


def _one_of(words: tuple[Any, ...], value: Any) -> Any:
    if value not in words:
        raise ValueError(f"none of {words}")
    return value
