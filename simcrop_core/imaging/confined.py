"""What a process that reads one scan may take of the machine: memory by what the header claims, and time."""

from __future__ import annotations

import math
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simcrop_core.imaging.header import Header

_MIB = 2**20
# Shared libraries, threads' stacks and heaps, and a header of any kind.
_OPENING_BYTES = 2048 * _MIB
_DECODING_BYTES = 1024 * _MIB
# The parent is the one that ends a child in time; the child's own clock is for when the parent is gone.
_GRACE_S = 10


def _memory_of_the_machine() -> int:
    # The process that reads is told the number, and does not load this.
    import psutil

    return int(psutil.virtual_memory().total)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Caps of one reading.

    Attributes:
        memory_bytes: of addresses, whatever a header claims; all the memory of the machine unless told otherwise.
        cpu_seconds: of all its threads together.
        seconds: from its start.
    """

    memory_bytes: int = field(default_factory=_memory_of_the_machine)
    cpu_seconds: int = 600
    seconds: float = 900.0


def confine_opening(limits: ReadLimits) -> None:
    """Keep this process to its time, and to the memory that opening a file takes; no core of it is kept.

    On Windows only the parent's clock ends it, and on macOS no limit of memory is heeded.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds)
    signal.alarm(math.ceil(limits.seconds) + _GRACE_S)
    _cap_memory(_OPENING_BYTES, limits)


def confine_decoding(header: Header, limits: ReadLimits) -> None:
    """Keep this process to the memory that decoding what the header claims takes."""
    _cap_memory(decoding_bytes(header) + _DECODING_BYTES, limits)


def decoding_bytes(header: Header) -> int:
    """The most that any of the formats' decoders takes for a scan with this header.

    The stored numbers, in the decoder's buffer and again in its image; doubles, where GDCM rescales; then int16, and
    float32 where they do not fit.
    """
    voxels = math.prod(header.shape)
    _, frames = header.frame or (1, 1)
    stored = frames * _bytes_of(header.stored_type)
    return voxels * (2 * stored + 8 + 2 + 4) + 2 * header.file_bytes


def _bytes_of(stored_type: str) -> int:
    try:
        return np.dtype(stored_type).itemsize
    except TypeError:
        return 8


def _cap_memory(more_bytes: int, limits: ReadLimits) -> None:
    """Only Linux keeps a process to a limit of its addresses."""
    if sys.platform == "linux":
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGESIZE")
        _lower(resource.RLIMIT_AS, min(used + more_bytes, limits.memory_bytes))


def _lower(which: int, most: int) -> None:
    """Set a soft limit, within the hard one that this process was given."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
