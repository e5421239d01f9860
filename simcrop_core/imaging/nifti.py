"""Read NIfTI-1 and NIfTI-2, plain or compressed."""

from __future__ import annotations

import io
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from isal import igzip, isal_zlib
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry, NotASingleVolume, UnreadableFile
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.nifti_forms import form_findings, stated_forms
from simcrop_core.imaging.opened import OpenedScan
from simcrop_core.imaging.single_volume import frame_finding, frame_of, require_room, room_for, single_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.imaging.voxel_values import HounsfieldValues, fits_in_place, gathered, to_hounsfield
from simcrop_core.progress import Job

_DECODING_FAULTS: tuple[type[Exception], ...] = (
    igzip.BadGzipFile,
    zlib.error,
    cast("type[Exception]", isal_zlib.error),
)
_log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20  # igzip hands a piece of this size over through the processor's cache
_LONGEST_EXTENSION = 2**26
# Intents under which the numbers along the fourth axis are parts of one value: matrices, vectors, RGB and RGBA.
_NO_SCALARS = frozenset({1004, 1005, 1006, 1007, 1009, 2003, 2004})


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """The header, with how the voxels lie in the file."""

    header: Header
    dtype: np.dtype[Any]
    voxel_offset: int

    @property
    def count(self) -> int:
        return math.prod(self.header.shape)

    @property
    def bytes_before(self) -> int:
        number, _ = self.header.frame or (1, 1)
        return (number - 1) * self.count * self.dtype.itemsize

    @property
    def last(self) -> bool:
        number, frames = self.header.frame or (1, 1)
        return number == frames


@contextmanager
def open_nifti(path: Path, frame: int | None = None, job: Job | None = None) -> Iterator[OpenedScan]:
    """Shape, scaling and geometry; of a compressed file only the first block is decoded for them.

    The voxels are decoded once into the memory they stay in, axes in the file's own order, without a copy. The affine
    is the sform where the file has one, else the qform. Of a 4D file one frame is kept, and what follows it is not
    looked at.

    Args:
        path: the file.
        frame: which volume of a 4D file, from 1.
        job: for progress and cancellation.

    Raises:
        UnreadableFile: not NIfTI, damaged, or it promises more than it can hold; when decoded: cut off, or followed by
            something else.
        NotASingleVolume: 4D and no frame named, colours, or too few slices.
        NoSuchFrame: the file has no frame of that number.
        BrokenGeometry: its orientation cannot be computed.
        OutOfMemory: when decoded: it does not fit this machine.
        Cancelled: when decoded: `job` was asked to stop.
    """
    with _decoded(path) as stream:
        layout = _read_layout(stream, path, frame)
        yield OpenedScan(layout.header, lambda: _volume(stream, layout, path, job or Job()))


def _volume(stream: BinaryIO, layout: _Layout, path: Path, job: Job) -> Volume:
    _discard(stream, layout.voxel_offset, path)
    _skip(stream, layout.bytes_before, job)
    values = _read_voxels(stream, layout, job)
    if layout.last and stream.read(1):
        raise UnreadableFile(
            f"{path.name} goes on after its last voxel: its header does not describe what is in it.",
            hint="Export the volume again.",
        )
    header = layout.header
    voxels = values.reshape(header.shape, order="F")
    return Volume(voxels, header.affine, header.name, findings=header.findings, frame=header.frame)


@contextmanager
def _decoded(path: Path) -> Iterator[BinaryIO]:
    """The decoded bytes of a plain or gzip file, with the faults of decoding as named errors."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        stream = igzip.open(file, "rb") if compressed else file
        try:
            yield stream
        except EOFError as error:
            raise UnreadableFile(
                f"{path.name} is cut off or damaged: its compressed data have no proper end.",
                hint="It was cut off while being copied; copy it again.",
            ) from error
        except _DECODING_FAULTS as error:
            raise UnreadableFile(
                f"{path.name} is damaged: {error}.", hint="Copy or export it again and compare the sizes."
            ) from error


def _cut_off(name: str) -> UnreadableFile:
    return UnreadableFile(
        f"{name} ends before its last voxel.", hint="It was cut off while being copied; copy it again."
    )


def _read_layout(stream: BinaryIO, path: Path, wanted: int | None) -> _Layout:
    raw = _read_raw_header(stream, path)
    dtype = raw.get_data_dtype()
    _require_plain_numbers(dtype, path)
    sizes = raw.get_data_shape()
    if int(raw["intent_code"]) in _NO_SCALARS:
        single_volume(sizes[:3], name=path.name, components=math.prod(sizes[3:]))
    frame = frame_of(sizes, wanted, name=path.name)
    shape = single_volume(sizes if frame is None else sizes[:3], name=path.name)
    slope, intercept = _scaling(raw, path)
    affine = _affine(raw, path)
    header = Header(
        name=path.name,
        file_format="NIfTI-2" if isinstance(raw, Nifti2Header) else "NIfTI-1",
        shape=shape,
        affine=affine,
        stored_type=dtype.newbyteorder("=").name,
        slope=slope,
        intercept=intercept,
        file_bytes=path.stat().st_size,
        findings=(*form_findings(stated_forms(raw), shape), *frame_finding(frame)),
        frame=frame,
    )
    layout = _Layout(header, dtype, _voxel_offset(raw, path) - raw.sizeof_hdr)
    _require_room_in_file(layout, path)
    return layout


def _read_raw_header(stream: BinaryIO, path: Path) -> Nifti1Header:
    start = stream.read(4)
    kind: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
    sizes = [int.from_bytes(start, order) for order in ("little", "big")]
    header_class = next((kind[size] for size in sizes if size in kind), None)
    if header_class is None:
        raise UnreadableFile(f"{path.name} is not NIfTI: its header has no valid size.", hint="Export it again.")
    block = start + stream.read(header_class.sizeof_hdr - 4)
    if len(block) < header_class.sizeof_hdr:
        raise _cut_off(path.name)
    try:
        raw: Nifti1Header = header_class(block, check=False)
        raw.check_fix(logger=_log)
    except (HeaderDataError, OverflowError, ValueError) as error:
        raise UnreadableFile(f"The header of {path.name} is damaged: {error}.", hint="Export it again.") from error
    if not 1 <= int(raw["dim"][0]) <= 7:
        raise UnreadableFile(
            f"{path.name} states {raw['dim'][0]} axes; NIfTI has one to seven.", hint="Export it again."
        )
    if raw["magic"].item() != header_class.single_magic:
        raise UnreadableFile(
            f"{path.name} is half of a pair (.hdr, .img).", hint="Save it as one .nii or .nii.gz file."
        )
    return raw


def _require_plain_numbers(dtype: np.dtype[Any], path: Path) -> None:
    if dtype.names is not None:
        raise NotASingleVolume(
            f"{path.name} is a colour image.", hint="Give the CT itself, not a rendering or a fused picture of it."
        )
    if dtype.kind not in "iuf":
        raise UnreadableFile(f"{path.name} stores {dtype.name} numbers; a CT does not.", hint="Save it as int16.")


def _scaling(raw: Nifti1Header, path: Path) -> tuple[float, float]:
    try:
        slope, intercept = raw.get_slope_inter()
    except HeaderDataError as error:
        raise UnreadableFile(f"{path.name} has a scaling that is no number.", hint="Export it again.") from error
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))


def _affine(raw: Nifti1Header, path: Path) -> Affine:
    try:
        return np.asarray(raw.get_best_affine(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise BrokenGeometry(
            f"The orientation in the header of {path.name} is not a rotation: {error}.",
            hint="Export the volume again from the original series.",
        ) from error


def _voxel_offset(raw: Nifti1Header, path: Path) -> int:
    """Where the voxels begin; some writers leave 0, meaning right after the header and its four flag bytes."""
    stated = float(raw["vox_offset"])
    if not stated <= raw.sizeof_hdr + _LONGEST_EXTENSION:
        raise UnreadableFile(f"{path.name} says that its voxels begin at byte {stated:g}.", hint="Export it again.")
    return max(int(stated), raw.sizeof_hdr + 4)


def _require_room_in_file(layout: _Layout, path: Path) -> None:
    """Refuse, before any memory is taken, a header that promises what a file of this size cannot hold."""
    _, frames = layout.header.frame or (1, 1)
    promised = frames * layout.count * layout.dtype.itemsize
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    require_room(promised, layout.header.file_bytes, compressed=compressed, name=path.name)


def _discard(stream: BinaryIO, count: int, path: Path) -> None:
    if len(stream.read(count)) < count:
        raise _cut_off(path.name)


def _skip(stream: BinaryIO, count: int, job: Job) -> None:
    """Go on by so many bytes of frames before the one that is wanted."""
    for done in range(0, count, _CHUNK):
        job.step("skipping frames", done, count)
        stream.seek(min(_CHUNK, count - done), io.SEEK_CUR)


def _read_voxels(stream: BinaryIO, layout: _Layout, job: Job) -> HounsfieldValues:
    header = layout.header
    if not fits_in_place(layout.dtype):
        chunks = _decoded_pieces(stream, layout, job)
        return gathered(chunks, layout.count, header.slope, header.intercept, name=header.name)
    stored = room_for(layout.count, layout.dtype, name=header.name)
    _fill(stream, stored, job, done=0, total=stored.nbytes, header=header)
    return to_hounsfield(stored, header.slope, header.intercept, name=header.name)


def _decoded_pieces(stream: BinaryIO, layout: _Layout, job: Job) -> Iterator[NDArray[np.generic]]:
    """The stored numbers, a small piece at a time."""
    size = _CHUNK // layout.dtype.itemsize
    total = layout.count * layout.dtype.itemsize
    for start in range(0, layout.count, size):
        piece = np.empty(min(size, layout.count - start), layout.dtype)
        _fill(stream, piece, job, done=start * layout.dtype.itemsize, total=total, header=layout.header)
        yield piece


def _fill(stream: BinaryIO, target: NDArray[np.generic], job: Job, *, done: int, total: int, header: Header) -> None:
    """Decode straight into `target`, all of it, reporting bytes."""
    octets = target.view(np.uint8).data
    filled = 0
    while filled < len(octets):
        job.step("reading", done + filled, total)
        got = stream.readinto(octets[filled : filled + _CHUNK])  # type: ignore[attr-defined]
        if not got:
            raise _cut_off(header.name)
        filled += got
