"""From numbers as stored to Hounsfield units: int16 where they fit, float32 where they do not, never float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simcrop_core.imaging.single_volume import room_for

Stored = NDArray[np.generic]
HounsfieldValues = NDArray[np.int16] | NDArray[np.float32]

_INT16 = np.iinfo(np.int16)
_CHUNK = 2**20


def fits_in_place(dtype: DTypeLike) -> bool:
    """Whether numbers of this type can become Hounsfield units where they lie: 16-bit integers and float32."""
    dtype = np.dtype(dtype)
    return (dtype.kind in "iu" and dtype.itemsize == 2) or (dtype.kind == "f" and dtype.itemsize == 4)


def to_hounsfield(stored: Stored, slope: float = 1.0, intercept: float = 0.0, *, name: str) -> HounsfieldValues:
    """`stored × slope + intercept`, in the memory of `stored` where its type allows.

    Args:
        stored: (n,) integers or floats of any width and byte order; its content is lost where it is reused.
        slope: of the header's scaling; 1 where there is none.
        intercept: of the header's scaling.
        name: the file's, for messages.

    Returns:
        (n,) int16 where the stored numbers are integers, slope and intercept are whole and all results fit;
        else float32.
    """
    if fits_in_place(stored.dtype):
        native = _native(stored)
        if native.dtype.kind == "f":
            return _scaled_float32(native.view(np.float32), slope, intercept)
        if _whole(slope, intercept) and _fits_int16(_extremes(native, slope, intercept)):
            return _scaled_int16(native.view(np.int16), slope, intercept)
        stored = native
    chunks = (stored[start : start + _CHUNK] for start in range(0, stored.size, _CHUNK))
    return gathered(chunks, stored.size, slope, intercept, name=name)


def gathered(
    chunks: Iterable[Stored], count: int, slope: float = 1.0, intercept: float = 0.0, *, name: str
) -> HounsfieldValues:
    """Hounsfield units from `count` stored numbers that come in pieces, so that no wide copy of all is ever held.

    Starts as int16 and turns to float32 at the first piece that needs it.

    Args:
        chunks: pieces, each (n,), whose sizes add up to `count`.
        count: numbers in all.
        slope: of the header's scaling.
        intercept: of the header's scaling.
        name: the file's, for messages.
    """
    values: HounsfieldValues = room_for(count, np.int16, name=name)
    done = 0
    for chunk in chunks:
        scaled = _scaled(chunk, slope, intercept)
        if values.dtype == np.int16 and not (_integral(chunk, slope, intercept) and _within_int16(scaled)):
            values = _widened(values, done, name)
        with np.errstate(over="ignore"):
            values[done : done + scaled.size] = scaled.astype(values.dtype, copy=False)
        done += scaled.size
    assert done == count, f"{done} of {count} numbers came"
    return values


def _scaled(chunk: Stored, slope: float, intercept: float) -> Stored:
    """A piece with its scaling applied in double, which holds every sum of a CT's integers exactly."""
    if slope == 1 and intercept == 0:
        return chunk
    with np.errstate(over="ignore", invalid="ignore"):
        return chunk.astype(np.float64) * slope + intercept


def _integral(chunk: Stored, slope: float, intercept: float) -> bool:
    return chunk.dtype.kind in "iu" and _whole(slope, intercept)


def _within_int16(values: Stored) -> bool:
    return np.can_cast(values.dtype, np.int16) or _fits_int16(_extremes(values, 1, 0))


def _widened(values: HounsfieldValues, done: int, name: str) -> NDArray[np.float32]:
    wider: NDArray[np.float32] = room_for(values.size, np.float32, name=name)
    wider[:done] = values[:done]
    return wider


def _native(stored: Stored) -> Stored:
    if stored.dtype.isnative:
        return stored
    return stored.byteswap(inplace=True).view(stored.dtype.newbyteorder("="))


def _whole(slope: float, intercept: float) -> bool:
    return float(slope).is_integer() and float(intercept).is_integer()


def _extremes(stored: Stored, slope: float, intercept: float) -> tuple[float, float]:
    """Smallest and largest result; the two int16 limits need no look at the voxels where nothing is scaled."""
    if stored.dtype == np.int16 and slope == 1 and intercept == 0:
        return _INT16.min, _INT16.max
    if stored.size == 0:
        return 0, 0
    ends = sorted(float(end) * slope + intercept for end in (stored.min(), stored.max()))
    return ends[0], ends[1]


def _fits_int16(extremes: tuple[float, float]) -> bool:
    return _INT16.min <= extremes[0] and extremes[1] <= _INT16.max


def _scaled_int16(values: NDArray[np.int16], slope: float, intercept: float) -> NDArray[np.int16]:
    """In place. 16-bit arithmetic wraps, so a result that fits is right whatever the steps between overflow to."""
    if slope != 1:
        np.multiply(values, _wrapped(slope), out=values)
    if intercept != 0:
        np.add(values, _wrapped(intercept), out=values)
    return values


def _wrapped(number: float) -> NDArray[np.int16]:
    return np.array(int(number) & 0xFFFF, np.uint16).view(np.int16)


def _scaled_float32(values: NDArray[np.float32], slope: float, intercept: float) -> NDArray[np.float32]:
    """In place, rounded once: the arithmetic is done in double, a piece at a time."""
    if slope != 1 or intercept != 0:
        for piece in _pieces(values):
            with np.errstate(over="ignore", invalid="ignore"):
                piece[:] = piece.astype(np.float64) * slope + intercept
    return values


def _pieces(values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, values.size, _CHUNK):
        yield values[start : start + _CHUNK]
