"""What a segmentation gives: structures, each made of one or several of the labels that a network tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# Structure to the network's labels that make it; no label is in two structures of one task.
Structures = Mapping[str, tuple[int, ...]]

_LEFT = ("left upper lobe", "left lower lobe")
_RIGHT = ("right upper lobe", "right middle lobe", "right lower lobe")
_ORGANS = ("trachea", "heart", "aorta", "pulmonary artery", "liver", "spleen", "oesophagus", "spine")
OTHER_TISSUE = "other tissue"
# What the network of the embedded default tells apart, one label a voxel: all that is of the body has a label.
CHEST_LABELS = ("background", *_LEFT, *_RIGHT, *_ORGANS, OTHER_TISSUE)
# What is made of several of these.
PARTS: dict[str, tuple[str, ...]] = {"left lung": _LEFT, "right lung": _RIGHT, "body": CHEST_LABELS[1:]}
CHEST_TASKS: dict[str, tuple[str, ...]] = {
    "lungs": ("left lung", "right lung", "trachea"),
    "lobes": (*_LEFT, *_RIGHT),
    "chest": ("left lung", "right lung", *_ORGANS),
    "body": ("body",),
}


def made_of(structure: str, labels: Sequence[str]) -> tuple[int, ...]:
    """The labels of a network that make a structure: its own, or those of all its parts; none where one is missing."""
    names = (structure,) if structure in labels else PARTS.get(structure, ())
    return tuple(labels.index(name) for name in names) if set(names) <= set(labels) else ()


def each_alone(labels: Sequence[str], values: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Structures of one label each, by its name."""
    return {labels[value]: (value,) for value in values}


def numbered(structures: Structures) -> dict[int, str]:
    """Structures by their value in a label map: the least of their labels."""
    return {min(values): name for name, values in structures.items()}


def kept_values(structures: Structures, count: int) -> NDArray[np.uint8]:
    """(count,) for each of a network's labels the value of its structure in a label map; 0 where it is in none."""
    kept = np.zeros(count, np.uint8)
    for values in structures.values():
        kept[list(values)] = min(values)
    return kept
