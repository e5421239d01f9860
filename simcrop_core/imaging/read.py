"""Read one CT volume from whatever file or folder it is in, told by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnreadableFile
from simcrop_core.imaging.geometry_checks import require_affine
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job

READ_FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), DICOM (a folder, a .zip or a file)"

_Format = Literal["nifti", "NrrdImageIO", "MetaImageIO", "dicom"]


def read_volume(path: Path, *, series: str | None = None, job: Job | None = None) -> Volume:
    """One CT volume, voxels in the file's own order, as the file states its units; see `passport.check` for the rest.

    Args:
        path: a NIfTI, NRRD or MetaImage file; a folder, .zip or any one file of a DICOM series.
        series: number or UID of a DICOM series, where there are several.
        job: for progress and cancellation.

    Raises:
        UnreadableFile: missing, damaged, cut off, or no format that is read.
        NotACT: DICOM images of another modality, localizers or projections only.
        NotASingleVolume: 4D, colours, several phases, or fewer than four slices.
        SeriesChoiceNeeded: several DICOM series and none named.
        BrokenGeometry: DICOM slices missing or unevenly spaced, or an orientation that cannot be computed.
        NotHounsfield: DICOM pixels and their rescale disagree.
        CannotWrite: no room to unpack an archive.
        OutOfMemory: it does not fit this machine.
        Cancelled: `job` was asked to stop.
    """
    # Each format's library takes a tenth of a second to import: only the one in need is.
    found = _format_of(path)
    if found == "nifti":
        from simcrop_core.imaging.nifti import read_nifti

        return read_nifti(path, job)
    if found == "dicom":
        from simcrop_core.imaging.dicom.read import read_dicom

        return read_dicom(path, series=series, job=job)
    from simcrop_core.imaging.itk import read_itk

    return read_itk(path, found, job)


def is_dicom(path: Path) -> bool:
    """Whether `read_volume` reads a path as DICOM.

    Raises:
        UnreadableFile: missing, or no format that is read.
    """
    return _format_of(path) == "dicom"


def read_header(path: Path, *, series: str | None = None, job: Job | None = None) -> Header:
    """What the same volume's header says; no voxel is decoded.

    Raises:
        SimCroPError: as `read_volume` does, but for what only decoding shows.
        BrokenGeometry: the affine is not finite or maps the volume onto a plane.
    """
    header = _read_header(path, series, job)
    require_affine(header.affine)
    return header


def _read_header(path: Path, series: str | None, job: Job | None) -> Header:
    found = _format_of(path)
    if found == "nifti":
        from simcrop_core.imaging.nifti import read_nifti_header

        return read_nifti_header(path)
    if found == "dicom":
        from simcrop_core.imaging.dicom.read import read_dicom_header

        return read_dicom_header(path, series=series, job=job)
    from simcrop_core.imaging.itk import read_itk_header

    return read_itk_header(path, found)


def _format_of(path: Path) -> _Format:
    """Which reader a path is for: by what it contains, and by its name where that says nothing.

    Raises:
        UnreadableFile: it is missing or nothing that is read.
    """
    if path.is_dir():
        return "dicom"
    try:
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
