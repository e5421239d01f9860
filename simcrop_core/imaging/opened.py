"""A scan whose header was read and whose voxels can be decoded: what each format's reader gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simcrop_core.imaging.header import Header
from simcrop_core.imaging.volume import Volume


@dataclass(frozen=True, slots=True, eq=False)
class OpenedScan:
    """One scan, for as long as its reader's `with` block runs.

    Attributes:
        header: what the file says, before any voxel is decoded.
        decode: reads the voxels, once; raises as `simcrop_core.imaging.read.read_volume`.
    """

    header: Header
    decode: Callable[[], Volume]
