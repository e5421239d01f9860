"""What a scan can teach of a network's labels: those it knows, unions that it knows only whole, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from simcrop_core.models.structures import OTHER_TISSUE, made_of
from simcrop_training.data.sample import SAMPLE_LABELS


@dataclass(frozen=True, slots=True)
class Grouping:
    """A network's labels as a scan knows them.

    Attributes:
        groups: labels of the network that the scan does not tell apart; the first has the background.
        number: the group of each label of the scan.
    """

    groups: tuple[tuple[int, ...], ...]
    number: tuple[int, ...]


@lru_cache(maxsize=64)
def grouping(labels: tuple[str, ...], known: tuple[int, ...]) -> Grouping:
    """Of a network's labels for scans that know some.

    What a scan does not know lies hidden in its other tissue, or in its background where it does not know that either.

    Args:
        labels: of the network; the scans' labels begin with them, and go on as `SAMPLE_LABELS`.
        known: labels of the scans.
    """
    parts = {value: (value,) if value < len(labels) else made_of(SAMPLE_LABELS[value], labels) for value in known}
    told = {part for values in parts.values() for part in values}
    unknown = tuple(value for value in range(1, len(labels)) if value not in told)
    hidden_in = labels.index(OTHER_TISSUE) if OTHER_TISSUE in labels else 0
    hidden_in = hidden_in if hidden_in in known else 0
    parts = {0: (0,), **parts}
    parts[hidden_in] += unknown
    number = [list(parts).index(hidden_in)] * max(len(SAMPLE_LABELS), len(labels))
    for place, (value, values) in enumerate(parts.items()):
        for each in (value, *(v for v in values if v not in unknown)):
            number[each] = place
    return Grouping(tuple(parts.values()), tuple(number))


def as_known(scores: Tensor, labels: Tensor, known: Grouping) -> tuple[Tensor, Tensor]:
    """A network's scores and a scan's labels by groups.

    Args:
        scores: (B, labels of the network, …).
        labels: (B, …) of the scan.
        known: by the scan.

    Returns:
        (B, groups, …) scores, the logarithm of the summed exponentials of what is in a group; (B, 1, …) groups.
    """
    if any(len(group) > 1 for group in known.groups):
        scores = torch.cat([_together(scores, group) for group in known.groups], dim=1)
    return scores, torch.tensor(known.number, device=labels.device)[labels][:, None]


def _together(scores: Tensor, group: Sequence[int]) -> Tensor:
    return scores[:, list(group)].logsumexp(1, keepdim=True) if len(group) > 1 else scores[:, group[0]][:, None]
