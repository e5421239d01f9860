"""Decode the pixels of a stack with SimpleITK (GDCM), which knows the compressed syntaxes and applies the rescale."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from simcrop_core.errors import NotHounsfield, UnreadableFile
from simcrop_core.imaging.dicom.slices import Slice
from simcrop_core.imaging.dicom.stack import Stack
from simcrop_core.imaging.itk import array_of, out_of_memory
from simcrop_core.imaging.voxel_values import HounsfieldValues, gathered
from simcrop_core.progress import Job

_log = logging.getLogger(__name__)

_Pixels = NDArray[np.generic]
_MOST_THREADS = 4


def decode(stack: Stack, job: Job) -> HounsfieldValues:
    """The stack's voxels in Hounsfield units, (slices · rows · columns,), columns fastest.

    Raises:
        UnreadableFile: a slice is damaged or compressed in an unknown way.
        NotHounsfield: the decoder did not apply the rescale that the header states.
        OutOfMemory: it does not fit this machine.
        Cancelled: `job` was asked to stop.
    """
    _require_one_rescale_a_file(stack)
    name = stack.series.name
    middle = stack.slices[len(stack.slices) // 2]
    return gathered(_in_order(stack, middle, job), math.prod(stack.shape), name=name)


def _in_order(stack: Stack, checked: Slice, job: Job) -> Iterator[_Pixels]:
    for done, (one, pixels) in enumerate(_decoded(stack)):
        job.step("reading", done, len(stack.slices))
        columns, rows = one.size
        if pixels.shape != (rows, columns):
            raise UnreadableFile(f"{one.path.name} does not hold the image its header states.", hint="Export it again.")
        if one is checked:
            _require_rescaled(one, pixels)
        yield pixels.reshape(-1)


def _decoded(stack: Stack) -> Iterator[tuple[Slice, _Pixels]]:
    """Each slice with its (rows, columns) pixels, in order; files are decoded in parallel, multi-frame ones once."""
    runs = [(path, list(slices)) for path, slices in groupby(stack.slices, key=lambda one: one.path)]
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        try:
            for (_, slices), frames in zip(runs, pool.map(_read_frames, [path for path, _ in runs]), strict=True):
                for one in slices:
                    yield one, frames[one.frame or 0]
        finally:
            pool.shutdown(cancel_futures=True)


def _read_frames(path: Path) -> _Pixels:
    """(frames, rows, columns) of one file, rescaled."""
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        return array_of(reader.Execute())
    except RuntimeError as error:
        raise out_of_memory(error, path.name) or UnreadableFile(
            f"{path.name} cannot be decoded: it is damaged, or compressed in a way that is not read.",
            hint="Copy it again, or export the series uncompressed.",
        ) from error


def _require_one_rescale_a_file(stack: Stack) -> None:
    """Frames of one file may each state a rescale; the decoder applies the first to all."""
    rescales: dict[Path, tuple[float, float]] = {}
    for one in stack.slices:
        if rescales.setdefault(one.path, (one.slope, one.intercept)) != (one.slope, one.intercept):
            raise NotHounsfield(
                f"The frames of {stack.series.name} have different rescales, which is not read.",
                hint="Export the series as single slices.",
            )


def _require_rescaled(one: Slice, decoded: _Pixels) -> None:
    """Compare one slice with the stored numbers and the header's rescale, where they can be had without a codec."""
    stored = _stored(one)
    if stored is None:
        return
    expected = stored.astype(np.float64) * one.slope + one.intercept
    if not np.allclose(decoded, expected, rtol=1e-5, atol=0.01):
        raise NotHounsfield(
            f"The pixels of {one.path.name} do not follow the rescale in its header.",
            hint="Convert the series to NIfTI with a tool you trust, and check its Hounsfield units.",
        )


def _stored(one: Slice) -> _Pixels | None:
    """The stored numbers of a slice by a second decoder, pydicom; None where it needs a codec or more of a header."""
    try:
        header = pydicom.dcmread(one.path, stop_before_pixels=True, force=True)
        if header.file_meta.TransferSyntaxUID.is_compressed:
            return None
        if one.frame is not None:
            return pixel_array(one.path, index=one.frame)
        return pixel_array(pydicom.dcmread(one.path, force=True))
    except (AttributeError, ValueError, NotImplementedError, RuntimeError) as reason:
        _log.info("The rescale of %s was not checked: %s", one.path.name, reason)
        return None
