"""Read one CT volume from whatever file or folder it is in, told by its content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnreadableFile
from simcrop_core.imaging.geometry_checks import require_affine
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.opened import OpenedScan
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job

READ_FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), DICOM (a folder, a .zip or a file)"

_Format = Literal["nifti", "NrrdImageIO", "MetaImageIO", "dicom"]


@contextmanager
def open_scan(
    path: Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None
) -> Iterator[OpenedScan]:
    """The header of one CT volume, and its voxels when they are asked for; parsed in this process.

    What comes from others is better read by `simcrop_core.imaging.isolated`, in a process of its own.

    Args:
        path: a NIfTI, NRRD or MetaImage file; a folder, .zip or any one file of a DICOM series.
        series: number or UID of a DICOM series, where there are several.
        frame: which volume of a 4D file, from 1; of a file with one volume, 1 or None.
        job: for progress and cancellation.

    Raises:
        UnreadableFile: missing, damaged, cut off, or no format that is read.
        NotACT: DICOM images of another modality, localizers or projections only.
        NotASingleVolume: 4D and no frame named, colours, several phases, or fewer than four slices.
        NoSuchFrame: there is no frame of that number.
        SeriesChoiceNeeded: several DICOM series and none named.
        BrokenGeometry: DICOM slices missing or unevenly spaced, or an orientation that cannot be computed.
        NotHounsfield: DICOM pixels and their rescale disagree.
        CannotWrite: no room to unpack an archive.
        OutOfMemory: it does not fit this machine.
        Cancelled: `job` was asked to stop.
    """
    with _opened(path, series, frame, job) as scan:
        yield scan


def _opened(path: Path, series: str | None, frame: int | None, job: Job | None) -> AbstractContextManager[OpenedScan]:
    # Each format's library takes a tenth of a second to import: only the one in need is.
    found = _format_of(path)
    if found == "nifti":
        from simcrop_core.imaging.nifti import open_nifti

        return open_nifti(path, frame, job)
    if found == "dicom":
        from simcrop_core.imaging.dicom.read import open_dicom

        return open_dicom(path, series=series, frame=frame, job=job)
    from simcrop_core.imaging.itk import open_itk

    return open_itk(path, found, frame, job)


def read_volume(path: Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None) -> Volume:
    """The volume: voxels in the file's own order, as the file states its units; see `passport.check` for the rest.

    Raises:
        SimCroPError: as `open_scan` does.
    """
    with open_scan(path, series=series, frame=frame, job=job) as scan:
        return scan.decode()


def is_dicom(path: Path) -> bool:
    """Whether `read_volume` reads a path as DICOM.

    Raises:
        UnreadableFile: missing, or no format that is read.
    """
    return _format_of(path) == "dicom"


def read_header(path: Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None) -> Header:
    """What the same volume's header says; no voxel is decoded.

    Raises:
        SimCroPError: as `open_scan` does, but for what only decoding shows.
        BrokenGeometry: the affine is not finite or maps the volume onto a plane.
    """
    with open_scan(path, series=series, frame=frame, job=job) as scan:
        require_affine(scan.header.affine)
        return scan.header


def _format_of(path: Path) -> _Format:
    """Which reader a path is for: by what it contains, and by its name where that says nothing.

    Raises:
        UnreadableFile: it is missing or nothing that is read.
    """
    if path.is_dir():
        return "dicom"
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFile(f"{path} is no file and no folder.", hint="Give a file, not a pipe or a device.")
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be opened: {error.strerror}.", hint="Check the path and that you may read it."
        ) from error
    found = _format_by_content(start) or _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        raise UnreadableFile(f"{path.name} is in no format that is read.", hint=f"These are: {READ_FORMATS}.")
    return found


def _format_by_content(start: bytes) -> _Format | None:
    for position, magic, found in _MAGICS:
        if start[position : position + len(magic)] == magic:
            return found
    return None


_MAGICS: tuple[tuple[int, bytes, _Format], ...] = (
    (128, b"DICM", "dicom"),
    (0, b"NRRD000", "NrrdImageIO"),
    (0, b"\x1f\x8b", "nifti"),
    (0, b"PK\x03\x04", "dicom"),
    (0, b"\x5c\x01\x00\x00", "nifti"),  # 348, the size of a NIfTI-1 header, in both byte orders
    (0, b"\x00\x00\x01\x5c", "nifti"),
    (0, b"\x1c\x02\x00\x00", "nifti"),  # 540: NIfTI-2
    (0, b"\x00\x00\x02\x1c", "nifti"),
    (0, b"ObjectType = Image", "MetaImageIO"),
)
_BY_SUFFIX: dict[str, _Format] = {
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".nii": "nifti",
    ".gz": "nifti",
    ".dcm": "dicom",
    ".ima": "dicom",
}
