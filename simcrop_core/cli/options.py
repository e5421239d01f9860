"""Options that several commands share."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional
from tyro.constructors import PrimitiveConstructorSpec

CT = Annotated[Path, Positional]
Flag = FlagCreatePairsOff[bool]

if TYPE_CHECKING:
    from simcrop_core.imaging.dicom.source import SourceSeries

_FORMAT = re.compile(r"\.(nii|nii\.gz|nrrd|nhdr|mha|mhd|zip|dcm)$", re.IGNORECASE)


def results_folder(scan: Path, frame: int | None = None) -> Path:
    """Where results of a scan go unless another folder is given.

    Named after the scan, in a name that every file system takes, and its place, so that two patients' `ct.nii.gz`
    never share a folder; nor do two frames of one file.
    """
    place = scan.resolve()
    name = re.sub(r"[^\w.-]+", "-", _FORMAT.sub("", place.name)).strip("-.") or "scan"
    which = "" if frame is None else f"-frame-{frame}"
    return Path("simcrop-results") / f"{name}-{hashlib.sha256(str(place).encode()).hexdigest()[:6]}{which}"


def _point(words: list[str]) -> tuple[float, float, float]:
    numbers = [float(word) for word in words[0].split(",")]
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{words[0]} is not three numbers of millimetres with commas, such as 12,-40,180")
    right, front, up = numbers
    return right, front, up


# An option that takes a point of the patient, "R,A,S" in mm.
Point = Annotated[
    tuple[float, float, float],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="R,A,S",
        instance_from_str=_point,
        is_instance=lambda value: isinstance(value, tuple) and len(value) == 3,
        str_from_instance=lambda point: [",".join(f"{mm:g}" for mm in point)],
    ),
]


def source_series(ct: Path, series: str | None, de_identify: bool) -> SourceSeries:
    """What DICOM results refer to; asked for before any work is done.

    Raises:
        MissingDependency: the extra `dicom` is not installed.
        SimCroPError: the scan is no DICOM series that objects can refer to (`imaging.dicom.source.read_source`).
    """
    from simcrop_core.export.dicom import require_highdicom
    from simcrop_core.imaging.dicom.source import read_source

    require_highdicom()
    source = read_source(ct, series=series)
    return source.deidentified() if de_identify else source


def whole_number(*, at_least: int, at_most: int | None = None) -> PrimitiveConstructorSpec[int]:
    """A marker for an `int` option that only takes numbers in a range; any other is a usage error."""
    span = f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}"

    def read(words: list[str]) -> int:
        try:
            number = int(words[0])
        except ValueError as fault:
            raise ValueError(f"{words[0]} is not a whole number") from fault
        if number < at_least or (at_most is not None and number > at_most):
            raise ValueError(f"{number} is not {span}")
        return number

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda number: [str(number)],
    )


# An option that takes the number of a volume in a 4D file.
FrameNumber = Annotated[int, whole_number(at_least=1)] | None
