"""What was drawn in a phantom, whichever way it is put in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.phantom.truth import LABELS, LOBES, Phantom, Statement

_DRAWN = ("positive", "uncertain")
_TOUCHING = np.ones((3, 3, 3), dtype=bool)


def findings_of(phantom: Phantom) -> list[Statement]:
    """One sentence for each place something was drawn in: the report's own where it has one, surely before maybe."""
    found: dict[tuple[str, bytes], Statement] = {}
    said = [s for polarity in _DRAWN for s in phantom.statements if s.polarity == polarity]
    for statement in sorted(said, key=lambda s: s.text not in phantom.report.findings):
        found.setdefault((statement.topic, statement.voxels.tobytes()), statement)
    return list(found.values())


def topics_of(phantom: Phantom) -> set[str]:
    """The kinds of finding that were drawn."""
    return {s.topic for s in phantom.statements if s.polarity in _DRAWN}


def voxels_of(phantom: Phantom, topic: str) -> NDArray[np.int32]:
    """Flat indices of all that was drawn of one kind."""
    drawn = [s.voxels for s in phantom.statements if s.polarity in _DRAWN and s.topic == topic]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *drawn]))


def organ_map(phantom: Phantom, numbers: Mapping[str, int]) -> NDArray[np.uint8]:
    """Numbers where organs are: by the label map, by the lobes, or by the mask of a sentence that names nothing else.

    Args:
        phantom: any.
        numbers: by the names of `LABELS`, `LOBES` and topics of such sentences; what was not drawn is nowhere.

    Returns:
        (x, y, z) of the phantom, 0 elsewhere; of organs that share a voxel the later in `numbers` has it.
    """
    organs = np.zeros(phantom.labels.shape, dtype=np.uint8)
    named = {s.topic: s.voxels for s in phantom.statements if s.polarity == "anatomy"}
    for name, number in numbers.items():
        if name in LABELS:
            organs[phantom.labels == LABELS.index(name)] = number
        elif name in LOBES:
            organs[phantom.lobes == LOBES.index(name)] = number
        elif name in named:
            organs.ravel()[named[name]] = number
    return organs


def parts_of(voxels: NDArray[np.int32], shape: tuple[int, ...]) -> list[NDArray[np.int32]]:
    """Split a set of voxels into its connected parts (corners touch), each as flat indices."""
    if not voxels.size:
        return []
    places = np.stack(np.unravel_index(voxels, shape))
    low = places.min(axis=1)
    box = np.zeros(places.max(axis=1) - low + 1, dtype=bool)
    inside = tuple(places - low[:, None])
    box[inside] = True
    numbered, count = ndimage.label(box, _TOUCHING)
    numbers = numbered[inside]
    order = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[order], np.arange(1, count), side="right")
    return np.split(voxels[order], ends)
