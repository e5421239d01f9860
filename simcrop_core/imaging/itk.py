"""Read NRRD and MetaImage (.nrrd, .nhdr, .mha, .mhd) with SimpleITK."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry, NotASingleVolume, OutOfMemory, UnreadableFile
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.header import ORIENTATION_UNSTATED, Header
from simcrop_core.imaging.opened import OpenedScan
from simcrop_core.imaging.single_volume import LESS_MEMORY, frame_finding, frame_of, require_room, single_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.imaging.voxel_values import to_hounsfield
from simcrop_core.progress import Job

FORMATS = {"NrrdImageIO": "NRRD", "MetaImageIO": "MetaImage"}

_LONGEST_META_HEADER = 2**16
_MOST_META_AXES = 10
_VOXELS_ELSEWHERE = re.compile(rb"^(data ?file:|ElementDataFile\s*=\s*(?!\s|LOCAL))", re.MULTILINE | re.IGNORECASE)
_VOXELS_HERE = re.compile(rb"^ElementDataFile\s*=\s*LOCAL[^\n]*\n", re.MULTILINE | re.IGNORECASE)
_COMPRESSED = re.compile(rb"^CompressedData\s*=\s*True", re.MULTILINE | re.IGNORECASE)
_CHUNK = 2**20
_FRAME_KINDS = ("list", "time")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@contextmanager
def open_itk(path: Path, image_io: str, frame: int | None = None, job: Job | None = None) -> Iterator[OpenedScan]:
    """Shape, type and geometry; the voxels are a view of the image that SimpleITK decodes.

    Args:
        path: the file.
        image_io: ITK's name of the format, a key of `FORMATS`.
        frame: which volume of a 4D file, from 1.
        job: for progress and cancellation.

    Raises:
        UnreadableFile: damaged, or it promises more voxels than any CT has; when decoded: cut off.
        NotASingleVolume: 4D and no frame named, colours, or too few slices.
        NoSuchFrame: the file has no frame of that number.
        BrokenGeometry: the time axis of a 4D file leans into space.
        OutOfMemory: when decoded: it does not fit this machine.
        Cancelled: `job` was asked to stop before the decoding began.
    """
    reader = _inspected(path, image_io)
    header = _header(reader, path, image_io, frame)
    yield OpenedScan(header, lambda: _volume(reader, header, path, image_io, job))


def _volume(reader: SimpleITK.ImageFileReader, header: Header, path: Path, image_io: str, job: Job | None) -> Volume:
    _require_room_in_file(header, path)
    if image_io == "MetaImageIO":
        _require_sound_compression(path)
    if job is not None:
        job.step("reading", 0, 1)
    number, _ = header.frame or (1, 1)
    if reader.GetDimension() > 3:
        reader.SetExtractSize([*header.shape, *[0] * (reader.GetDimension() - 3)])
        reader.SetExtractIndex([0, 0, 0, number - 1, *[0] * (reader.GetDimension() - 4)])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise out_of_memory(error, header.name) or _damaged(path, error) from error
    pixels = array_of(image)
    # The frames of a sequence are the numbers of one voxel.
    stored = np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[..., number - 1]).reshape(-1)
    if job is not None:
        job.step("reading", 1, 1)
    values = to_hounsfield(stored, name=header.name)
    voxels = values.reshape(header.shape, order="F")
    return Volume(voxels, header.affine, header.name, findings=header.findings, frame=header.frame)


def out_of_memory(error: RuntimeError, name: str) -> OutOfMemory | None:
    """The fault of memory that a fault of SimpleITK's tells of; None where it tells of another."""
    if "alloc" not in str(error):
        return None
    return OutOfMemory(f"{name} needs more memory to be read than there is.", hint=LESS_MEMORY)


def array_of(image: SimpleITK.Image) -> NDArray[np.generic]:
    """The (z, y, x) pixels of an image, without a copy; the array keeps the image alive."""
    return np.asarray(_Pixels(image))


class _Pixels:
    """An image's buffer for numpy, which holds on to this object, and so to the image, as long as the array lives."""

    def __init__(self, image: SimpleITK.Image) -> None:
        interface = SimpleITK.GetArrayViewFromImage(image).__array_interface__
        address, _ = interface["data"]
        self.image = image
        self.__array_interface__ = {**interface, "data": (address, False)}


def _inspected(path: Path, image_io: str) -> SimpleITK.ImageFileReader:
    if image_io == "MetaImageIO":
        _require_few_axes(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(path, error) from error
    return reader


def _require_few_axes(path: Path) -> None:
    """ITK's MetaImage reader writes past its arrays where a header states more than ten axes."""
    with path.open("rb") as file:
        header = file.read(_LONGEST_META_HEADER)
    stated = [int(number) for number in re.findall(rb"NDims\s*[=:]\s*(\d+)", header)]
    if not stated or not all(1 <= axes <= _MOST_META_AXES for axes in stated):
        raise UnreadableFile(f"The header of {path.name} states no valid number of axes.", hint="Export it again.")


def _require_room_in_file(header: Header, path: Path) -> None:
    """Refuse a header that promises what the file cannot hold; one whose voxels lie in another file says nothing."""
    with path.open("rb") as file:
        if _VOXELS_ELSEWHERE.search(file.read(_LONGEST_META_HEADER)):
            return
    _, frames = header.frame or (1, 1)
    size = frames * np.dtype(header.stored_type).itemsize
    require_room(math.prod(header.shape) * size, header.file_bytes, compressed=True, name=path.name)


def _require_sound_compression(path: Path) -> None:
    """ITK's MetaImage reader goes on with other voxels where the compressed ones are damaged; so look at them first."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_META_HEADER)
        voxels = _VOXELS_HERE.search(start)
        if voxels is None or not _COMPRESSED.search(start, 0, voxels.start()):
            return
        file.seek(voxels.end())
        decoder = zlib.decompressobj()
        try:
            while not decoder.eof and (chunk := decoder.unconsumed_tail or file.read(_CHUNK)):
                decoder.decompress(chunk, _CHUNK)
        except zlib.error as error:
            raise UnreadableFile(f"{path.name} is damaged: {error}.", hint="Copy or export it again.") from error
    if not decoder.eof:
        raise UnreadableFile(f"{path.name} ends before its last voxel.", hint="Copy it again.")


def _damaged(path: Path, error: RuntimeError) -> UnreadableFile:
    reason = str(error).strip().splitlines()[-1].strip()
    return UnreadableFile(f"{path.name} cannot be read: {reason}", hint="Copy or export it again.")


def _header(reader: SimpleITK.ImageFileReader, path: Path, image_io: str, wanted: int | None) -> Header:
    sizes, components = _sizes(reader)
    frame = frame_of(sizes, wanted, name=path.name) if components == 1 else None
    shape = single_volume(sizes if frame is None else sizes[:3], name=path.name, components=components)
    pixel_type = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()).removeprefix("vector of ")
    if "complex" in pixel_type:
        raise NotASingleVolume(
            f"{path.name} stores complex numbers; a CT does not.", hint="Save it as 16-bit integers."
        )
    stated = image_io != "NrrdImageIO" or reader.HasMetaDataKey("NRRD_space")
    return Header(
        name=path.name,
        file_format=FORMATS[image_io],
        shape=shape,
        affine=_affine(reader, path),
        stored_type=_STORED_TYPES.get(pixel_type, pixel_type),
        slope=1.0,
        intercept=0.0,
        file_bytes=path.stat().st_size,
        findings=(*(() if stated else (ORIENTATION_UNSTATED,)), *frame_finding(frame)),
        frame=frame,
    )


def _sizes(reader: SimpleITK.ImageFileReader) -> tuple[tuple[int, ...], int]:
    """Voxels along each axis, and numbers a voxel; where these are the frames of a sequence they are the fourth axis.

    A NRRD says which they are: Slicer writes sequences as a list of numbers a voxel.
    """
    sizes, components = reader.GetSize(), reader.GetNumberOfComponents()
    kind = "NRRD_kinds[pixel]"
    if len(sizes) == 3 and reader.HasMetaDataKey(kind) and reader.GetMetaData(kind) in _FRAME_KINDS:
        return (*sizes, components), 1
    return sizes, components


def _affine(reader: Any, path: Path) -> Affine:
    """ITK's origin, spacing and direction (LPS) as one RAS affine."""
    dimension = reader.GetDimension()
    directions = np.array(reader.GetDirection()).reshape(dimension, dimension)
    if directions[:3, 3:].any() or directions[3:, :3].any():
        raise BrokenGeometry(
            f"The header of {path.name} turns the axis of time into space.", hint="Export its frames one by one."
        )
    affine = np.eye(4)
    affine[:3, :3] = directions[:3, :3] * np.array(reader.GetSpacing())[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return _LPS_TO_RAS @ affine


# ITK's words for a type, without "vector of", to numpy's.
_STORED_TYPES = {
    "8-bit signed integer": "int8",
    "8-bit unsigned integer": "uint8",
    "16-bit signed integer": "int16",
    "16-bit unsigned integer": "uint16",
    "32-bit signed integer": "int32",
    "32-bit unsigned integer": "uint32",
    "64-bit signed integer": "int64",
    "64-bit unsigned integer": "uint64",
    "32-bit float": "float32",
    "64-bit float": "float64",
}
