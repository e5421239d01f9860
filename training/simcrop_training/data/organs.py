"""Organs in a frame: where a label map shows them, in which patches they lie, and which the frame cuts off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop_training.data.anatomies import Anatomy

Triple = tuple[int, int, int]
_Bits = np.unsignedinteger[Any]
# Organs of one map are bits of one number.
MOST_ORGANS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Organs:
    """A label map of a frame.

    Attributes:
        labels: (H, W, D) uint8, in the frame of the image, in as many voxels or another multiple of the patches.
        names: of the classes, by value.
        first: first voxel of the frame along x, y, z that was scanned: more than 0 where the scan ends in the frame.
        end: the one after the last that was.
    """

    labels: NDArray[np.uint8]
    names: tuple[str, ...]
    first: Triple
    end: Triple

    @classmethod
    def whole(cls, labels: NDArray[np.uint8], names: tuple[str, ...]) -> Organs:
        """Of a frame all of which was scanned."""
        x, y, z = labels.shape
        return cls(labels, names, (0, 0, 0), (x, y, z))


def coarse_labels(labels: NDArray[np.uint8], shape: Triple) -> NDArray[np.uint8]:
    """Labels of the voxels in the middle of blocks, of which there are `shape`."""
    middles = [slice(n // s // 2, None, n // s) for n, s in zip(labels.shape, shape, strict=True)]
    return np.ascontiguousarray(labels[tuple(middles)])


def organs_of_marks(marks: NDArray[np.uint8], names: tuple[str, ...]) -> Organs:
    """Organs from labels that were each raised by one, so that 0 marks the voxels beyond the scan."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        scanned = np.flatnonzero(marks.any(axis=others))
        box.append((int(scanned[0]), int(scanned[-1]) + 1) if scanned.size else (0, 0))
    (x, x_end), (y, y_end), (z, z_end) = box
    labels: NDArray[np.uint8] = marks - (marks > 0)
    return Organs(labels, names, (x, y, z), (x_end, y_end, z_end))


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Organs in the patches of a frame.

    Attributes:
        tokens_ON: true where any voxel of a patch belongs to the organ.
        present_O: whether the frame shows anything of it.
        whole_O: whether it is there and not cut off.
    """

    tokens_ON: NDArray[np.bool_]
    present_O: NDArray[np.bool_]
    whole_O: NDArray[np.bool_]


def located(organs: Organs, wanted: Sequence[Anatomy], grid: Triple, *, allow_border: bool) -> Located:
    """Find organs in the patches of a frame.

    Args:
        organs: of the frame.
        wanted: at most 32 of them.
        grid: patches along x, y, z.
        allow_border: whether an organ that ends where the scan ends counts as whole: that face of the frame was not
            chosen by whoever cut it. Those that a face of the frame cuts inside the scan never do.
    """
    bits = _bits(organs.names, tuple(wanted))[organs.labels]
    patches = bits
    for axis, count in enumerate(grid):
        size = patches.shape[axis]
        assert size % count == 0, f"{size} voxels are not a multiple of {count} patches"
        split = patches.reshape(*patches.shape[:axis], count, size // count, *patches.shape[axis + 1 :])
        patches = np.bitwise_or.reduce(split, axis=axis + 1)
    cut = _cut(bits, organs, allow_border=allow_border)
    number = np.arange(len(wanted), dtype=bits.dtype)
    tokens_ON = (patches.reshape(1, -1) >> number[:, None] & 1).astype(bool)
    cut_O: NDArray[np.bool_] = (cut >> number & 1).astype(bool)
    present_O: NDArray[np.bool_] = np.logical_or.reduce(tokens_ON, axis=1)
    return Located(tokens_ON, present_O, np.logical_and(present_O, ~cut_O))


def _cut(bits: NDArray[_Bits], organs: Organs, *, allow_border: bool) -> NDArray[_Bits]:
    """The organs that touch a face of what was scanned of the frame."""
    touching = np.zeros(1, bits.dtype)
    for axis, (first, end, size) in enumerate(zip(organs.first, organs.end, bits.shape, strict=True)):
        for plane, scan_ends in ((first, first > 0), (end - 1, end < size)):
            if first < end and not (allow_border and scan_ends):
                touching |= np.bitwise_or.reduce(bits.take(plane, axis), axis=None)
    return touching


@lru_cache(maxsize=16)
def _bits(names: tuple[str, ...], wanted: tuple[Anatomy, ...]) -> NDArray[_Bits]:
    """By the value of a class: the organs it is part of, one bit each; values without a name are background."""
    assert len(wanted) <= MOST_ORGANS
    bits = np.zeros(256, np.uint32)
    for value, name in enumerate(names):
        bits[value] = sum(anatomy.covers(name) << number for number, anatomy in enumerate(wanted))
    return bits.astype(np.uint8) if len(wanted) <= 8 else bits
