"""Which array shapes are one CT volume, and how much may be asked of memory for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simcrop_core.errors import NoSuchFrame, NotASingleVolume, OutOfMemory, UnreadableFile
from simcrop_core.results import PassportFinding

MIN_SLICES = 4
# 2048 × 2048 × 512, or 512 × 512 × 8192: twice the longest whole-body CT.
MAX_VOXELS = 2**31
LESS_MEMORY = "Close other programs, or crop the volume."
_MOST_DEFLATE = 1032  # bytes out for a byte in: deflate reaches no more (RFC 1951: 258 bytes from two bits)


def single_volume(shape: Sequence[int], *, name: str, components: int = 1) -> tuple[int, int, int]:
    """The three axes of a stored array that is one CT volume; axes of length 1 after the third are dropped.

    Args:
        shape: as the header gives it, x first.
        name: the file's, for the message.
        components: numbers a voxel.

    Raises:
        NotASingleVolume: colours or vectors, several volumes, or fewer than four slices.
        UnreadableFile: the header promises more voxels than any CT has.
    """
    sizes = [int(size) for size in shape]
    if components != 1:
        raise NotASingleVolume(
            f"{name} has {components} numbers a voxel: a colour image or a vector field.",
            hint="Give the CT itself, with one number a voxel, not a rendering or a fused picture of it.",
        )
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    described = " × ".join(str(size) for size in sizes)
    if len(sizes) > 3:
        raise NotASingleVolume(
            f"{name} holds several volumes ({described}).", hint="Save the one to be read as a volume of its own."
        )
    if len(sizes) < 3 or min(sizes) < MIN_SLICES:
        raise NotASingleVolume(
            f"{name} is {described} voxels: too few slices to be a volume.",
            hint="Give the whole series: a volume has at least four slices along every axis.",
        )
    if math.prod(sizes) > MAX_VOXELS:
        raise UnreadableFile(
            f"The header of {name} promises {described} voxels, more than any CT.",
            hint="The file is damaged or was made up; export it again.",
        )
    x, y, z = sizes
    return x, y, z


def frame_of(shape: Sequence[int], wanted: int | None, *, name: str) -> tuple[int, int] | None:
    """Which of the volumes along the fourth axis is meant: its number, from 1, and how many there are.

    Args:
        shape: as the header gives it, x first, time fourth.
        wanted: the number that the user named.
        name: the file's, for the message.

    Returns:
        None where the file holds one volume, or what no frame can be taken of: `single_volume` refuses that.

    Raises:
        NotASingleVolume: there are several and none was named.
        NoSuchFrame: there is none of that number.
    """
    frames = int(shape[3]) if len(shape) > 3 and math.prod(shape[4:]) == 1 else 1
    if wanted is None and frames > 1:
        raise NotASingleVolume(
            f"{name} is 4D: it holds {frames} volumes.", hint=f"Name one of them: --frame 1 to --frame {frames}."
        )
    if wanted is not None and not 1 <= wanted <= frames:
        raise NoSuchFrame(
            f"{name} has no frame {wanted}: it holds {_count(frames)}.",
            hint="Leave --frame out." if frames <= 1 else f"Name one of them: --frame 1 to --frame {frames}.",
        )
    return None if wanted is None or frames == 1 else (wanted, frames)


def frame_finding(frame: tuple[int, int] | None) -> tuple[PassportFinding, ...]:
    """What the passport says of the frame that was taken; nothing of a file of one volume."""
    if frame is None:
        return ()
    number, frames = frame
    return (PassportFinding("frame", "pass", f"Frame {number} of {frames} was taken: the file is 4D."),)


def _count(frames: int) -> str:
    return "one volume" if frames == 1 else f"{frames} volumes"


def require_room(promised: int, file_bytes: int, *, compressed: bool, name: str) -> None:
    """Refuse, before any memory is taken, what a file of this size cannot hold.

    Args:
        promised: bytes of voxels, by the header.
        file_bytes: size of the file.
        compressed: whether the voxels may be deflated.
        name: the file's, for the message.

    Raises:
        UnreadableFile: it promises more.
    """
    if promised > file_bytes * (_MOST_DEFLATE if compressed else 1):
        raise UnreadableFile(
            f"{name} is too small for the {promised / 2**20:.0f} MiB of voxels that its header promises.",
            hint="It was cut off while being copied, or was made up; copy or export it again.",
        )


def room_for(count: int, dtype: DTypeLike, *, name: str) -> NDArray[Any]:
    """An uninitialised array of `count` voxels.

    Raises:
        OutOfMemory: this machine has no room for it.
    """
    try:
        return np.empty(count, dtype)
    except MemoryError as error:
        gibibytes = count * np.dtype(dtype).itemsize / 2**30
        raise OutOfMemory(f"{name} needs {gibibytes:.1f} GiB of memory to be read.", hint=LESS_MEMORY) from error
