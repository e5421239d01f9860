"""Read a CT series from a folder, a .zip, or any one of its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simcrop_core.errors import NotACT, UnreadableFile
from simcrop_core.imaging.dicom.archive import is_archive, unpacked
from simcrop_core.imaging.dicom.pixels import decode
from simcrop_core.imaging.dicom.scan import Scan, files_below, scan
from simcrop_core.imaging.dicom.series import choose, series_of
from simcrop_core.imaging.dicom.slices import DAMAGED, NO_POSITION, UNCLEAR, NoSliceError, Slice, read_slices
from simcrop_core.imaging.dicom.stack import Stack, stacked
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.opened import OpenedScan
from simcrop_core.imaging.single_volume import frame_of
from simcrop_core.imaging.volume import DicomOrigin, Volume
from simcrop_core.progress import Job
from simcrop_core.results import PassportFinding


@contextmanager
def open_dicom(
    path: Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None
) -> Iterator[OpenedScan]:
    """Geometry and scaling of one series, from the headers of its slices: by position, rescale applied when decoded.

    Args:
        path: a folder (searched with the folders in it), a .zip, or one DICOM file, which stands for its series.
        series: number or UID, where there are several.
        frame: 1 or None: a series is one volume.
        job: for progress and cancellation.

    Raises:
        NoSuchFrame: another frame is named.
        UnreadableFile: nothing readable there, or a slice that cannot be decoded.
        NotACT: images of another modality, localizers or projections only.
        SeriesChoiceNeeded: several series and none named.
        NotASingleVolume: fewer than four slices, or several phases.
        BrokenGeometry: slices missing, unevenly spaced or not in line.
        NotHounsfield: pixels and rescale disagree.
        CannotWrite: no room to unpack the archive.
        OutOfMemory: it does not fit this machine.
        Cancelled: `job` was asked to stop.
    """
    job = job or Job()
    with read_stack(path, series, job) as (stack, findings):
        frame_of(stack.shape, frame, name=stack.series.name)
        header = _header(stack, findings)
        yield OpenedScan(header, lambda: _volume(stack, header, job))


def _header(stack: Stack, findings: tuple[PassportFinding, ...]) -> Header:
    first = stack.slices[0]
    return Header(
        name=stack.series.name,
        file_format="DICOM",
        shape=stack.shape,
        affine=stack.affine,
        stored_type=first.stored_type,
        slope=first.slope,
        intercept=first.intercept,
        file_bytes=sum(file.stat().st_size for file in {one.path for one in stack.slices}),
        findings=findings,
    )


def _volume(stack: Stack, header: Header, job: Job) -> Volume:
    voxels = decode(stack, job).reshape(stack.shape, order="F")
    return Volume(voxels, header.affine, header.name, _origin(stack), header.findings)


@contextmanager
def read_stack(path: Path, wanted: str | None, job: Job) -> Iterator[tuple[Stack, tuple[PassportFinding, ...]]]:
    """The ordered slices of one series and what was left out; their files are there while the block runs.

    Raises:
        SimCroPError: as `open_dicom` does.
    """
    with _files_at(path, job) as files:
        found = scan(files, job)
        found.require_slices(path.name)
        pointed_at = _slice_of(path) if path in files else None
        stack = stacked(choose(series_of(found.slices), wanted, like=pointed_at))
        yield stack, (*_left_out(found), *_copies(stack))


@contextmanager
def _files_at(path: Path, job: Job) -> Iterator[list[Path]]:
    if path.is_dir():
        yield files_below(path)
    elif is_archive(path):
        with unpacked(path, job) as folder:
            yield files_below(folder)
    else:
        yield sorted(file for file in path.parent.iterdir() if file.is_file())


def _slice_of(path: Path) -> Slice:
    try:
        return read_slices(path)[0]
    except NoSliceError as reason:
        kind = UnreadableFile if str(reason) in UNCLEAR else NotACT
        raise kind(
            f"{path.name} is no CT slice ({reason}).", hint="Give a slice of the CT series, or its folder."
        ) from reason


def _left_out(found: Scan) -> tuple[PassportFinding, ...]:
    """A warning where files that may have been slices of the series could not be used."""
    lost = {kind: found.others[kind] for kind in (DAMAGED, NO_POSITION) if found.others[kind]}
    if not lost:
        return ()
    return (
        PassportFinding(
            code="files-left-out",
            outcome="warned",
            message=f"Left out: {', '.join(f'{count} × {kind}' for kind, count in lost.items())}.",
            hint="If they are slices of this series, its ends may be cut off. Copy the series again.",
        ),
    )


def _copies(stack: Stack) -> tuple[PassportFinding, ...]:
    if stack.series.copies == 0:
        return ()
    return (
        PassportFinding(
            code="copies-left-out",
            outcome="repaired",
            message=f"Slices were there more than once and were used once: {stack.series.copies} files left out.",
        ),
    )


def _origin(stack: Stack) -> DicomOrigin:
    first = stack.slices[0]
    return DicomOrigin(
        series_number=first.series_number,
        instance_numbers=tuple(one.instance_number for one in stack.slices),
        series_uid=first.series_uid,
        description=first.description,
    )
