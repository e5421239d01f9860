"""One scan as a compressed file out of which a crop is cut without decoding the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import DamagedStore, MissingDependency
from simcrop_training.store.records import Triple

try:
    import blosc2
except ImportError as fault:
    raise MissingDependency(
        "Training stores need the package blosc2.", hint="pip install 'simcrop[train]' brings it."
    ) from fault

# Measured on real chests (docs/training-data.md): nearly as small as zstd, twice as fast to read.
_CODEC, _LEVEL, _FILTER = blosc2.Codec.LZ4HC, 5, blosc2.Filter.SHUFFLE
_CHUNK_X, _BLOCK_X, _BLOCK_Y = 32, 16, 32
# One caller, one core: who wants more cores cuts several crops at a time.
_READING = blosc2.DParams(nthreads=1)


def encode_shard(voxels: NDArray[np.int16] | NDArray[np.uint8]) -> bytes:
    """Compress a scan or its label map; the same voxels give the same bytes.

    Args:
        voxels: (x, y, z) int16 HU, or uint8 labels.
    """
    x, y, z = voxels.shape
    array = blosc2.asarray(
        np.ascontiguousarray(voxels),
        chunks=(min(_CHUNK_X, x), y, z),
        blocks=(min(_BLOCK_X, x), min(_BLOCK_Y, y), z),
        cparams=blosc2.CParams(codec=_CODEC, clevel=_LEVEL, filters=[_FILTER], filters_meta=[0], nthreads=1),
        contiguous=True,
    )
    frame: bytes = array.to_cframe()
    return frame


def read_crop(shard: Path, start: Triple, shape: Triple, *, outside: int) -> NDArray[Any]:
    """Cut a box out of a stored scan or label map; only the blocks it touches are decoded.

    Args:
        shard: the file.
        start: the box's first voxel; may lie outside.
        shape: of the box.
        outside: HU or label where the box reaches beyond what is stored.

    Returns:
        int16 HU or uint8 labels, of `shape`.

    Raises:
        DamagedStore: the file is missing, cut off or damaged.
    """
    try:
        stored = blosc2.open(str(shard), mode="r", mmap_mode="r", dparams=_READING)
        return cut(stored, start, shape, outside=outside)
    except (RuntimeError, ValueError, OSError) as fault:
        raise DamagedStore(
            f"The shard {shard.name} cannot be read: {fault}.",
            hint="Delete it and run simcrop-prepare again with the same arguments: it is made anew.",
        ) from fault


def cut(stored: NDArray[Any] | blosc2.NDArray, start: Triple, shape: Triple, *, outside: int) -> NDArray[Any]:
    """A box out of an array; what reaches beyond it is `outside`.

    Args:
        stored: (x, y, z) in memory, or compressed.
        start: the box's first voxel; may lie outside.
        shape: of the box.
        outside: HU or label beyond the array.

    Returns:
        Of `shape` and the array's type.
    """
    low = [min(max(s, 0), n) for s, n in zip(start, stored.shape, strict=True)]
    high = [min(max(s + w, 0), n) for s, w, n in zip(start, shape, stored.shape, strict=True)]
    inside: NDArray[Any] = stored[tuple(map(slice, low, high))]
    if inside.shape == shape:
        return inside
    crop = np.full(shape, outside, dtype=inside.dtype)
    crop[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))] = inside
    return crop
