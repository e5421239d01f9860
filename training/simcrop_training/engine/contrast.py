"""Comparisons between samples of a whole step, with memory for one micro-batch (gradient caching)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simcrop_training.engine.objective import Contrast, Rows
from simcrop_training.engine.ranks import Ranks


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The comparison of a step, taken back to what was compared.

    Attributes:
        losses: by name, the same on all ranks.
        gradients: of their weighted sum by the rows of each micro-batch of this rank, where they have one.
    """

    losses: Mapping[str, Tensor]
    gradients: Sequence[Rows]

    def loss(self, place: int, rows: Rows) -> Tensor:
        """A number, (), whose gradient is the comparison's by the parameters behind the rows.

        Args:
            place: of the micro-batch among this rank's.
            rows: its own, with gradient.
        """
        terms = [(rows[name] * gradient).sum() for name, gradient in self.gradients[place].items()]
        return torch.stack(terms).sum() if terms else torch.zeros((), device=next(iter(rows.values())).device)


def compare(objective: Contrast[Any], own: Sequence[Rows], ranks: Ranks) -> Comparison:
    """Compare the rows of all micro-batches of a step.

    Args:
        objective: that says how.
        own: rows of this rank's micro-batches, without gradient.
        ranks: of the run; all of them take part.
    """
    leaves = [
        {name: tensor.detach().requires_grad_(tensor.is_floating_point()) for name, tensor in rows.items()}
        for rows in gathered_rows(own, ranks)
    ]
    losses = objective.compared(leaves)
    if losses:
        torch.autograd.backward(torch.stack([objective.weights[name] * loss for name, loss in losses.items()]).sum())
    share = ranks.share(objective.micro_batches)
    gradients = [{name: t.grad for name, t in leaves[index].items() if t.grad is not None} for index in share]
    return Comparison({name: loss.detach() for name, loss in losses.items()}, gradients)


def gathered_rows(own: Sequence[Rows], ranks: Ranks) -> list[Rows]:
    """The rows of all micro-batches of the step, in order, from those of each rank's share."""
    names = sorted(own[0])
    flat = ranks.gathered_tensors([rows[name] for rows in own for name in names])
    tensors = [tensor for rank in flat for tensor in rank]
    starts = range(0, len(tensors), len(names))
    return [dict(zip(names, tensors[start : start + len(names)], strict=True)) for start in starts]
