"""The id by which servers know what a volume holds, whatever it is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np

from simcrop_core.serve.frames import Array, array_frames


def content_id(voxels: Array, affine: Array) -> str:
    """The id by which servers know a volume's content; asking with it first may save sending the volume."""
    *_, last = content_id_steps(voxels, affine)
    assert last is not None
    return last


def content_id_steps(voxels: Array, affine: Array) -> Iterator[str | None]:
    """The same in steps of a chunk each, for a thread that must not be held; the last step gives the id."""
    dtype = voxels.dtype.newbyteorder("<")
    digest = hashlib.sha256(json.dumps([dtype.name, list(voxels.shape)]).encode())
    digest.update(np.ascontiguousarray(affine, dtype="<f8").tobytes())
    for piece in array_frames("", voxels, "raw"):
        _, _, raw = piece.partition(b"\n")
        digest.update(raw)
        yield None
    yield digest.hexdigest()
