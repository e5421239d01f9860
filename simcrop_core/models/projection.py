"""The maps that bring sentence embeddings and patch features into one space."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from simcrop_core.models.config import Projection


def text_projection(kind: Projection, *, text_dim: int, vision_dim: int, shared_dim: int) -> nn.Module:
    """The map of sentence embeddings, (…, text_dim) → (…, shared width).

    Raises:
        ValueError: no projection, though the widths differ.
    """
    match kind:
        case "none":
            if text_dim != vision_dim:
                raise ValueError(f"Sentences of width {text_dim} need a projection into patches of width {vision_dim}.")
            return nn.Identity()
        case "linear":
            return nn.Linear(text_dim, vision_dim)
        case "mlp":
            return nn.Sequential(nn.Linear(text_dim, 2 * vision_dim), nn.GELU(), nn.Linear(2 * vision_dim, vision_dim))
        case "two-sided":
            return nn.Linear(text_dim, shared_dim)


def image_projection(kind: Projection, *, vision_dim: int, shared_dim: int) -> nn.Module:
    """The map of patch features, (…, vision_dim) → (…, shared width): the identity unless both sides are projected."""
    return nn.Linear(vision_dim, shared_dim) if kind == "two-sided" else nn.Identity()


@torch.no_grad()
def with_mean_taken_off(projection: nn.Module, mean_C: Tensor) -> nn.Linear | nn.Sequential:
    """The projection that gives for an embedding what this one gives for the embedding less a mean.

    The mean goes into the first bias; the identity becomes a linear map of one.
    """
    if isinstance(projection, nn.Identity):
        shift = nn.Linear(len(mean_C), len(mean_C)).to(mean_C)
        shift.weight.copy_(torch.eye(len(mean_C)))
        shift.bias.copy_(-mean_C)
        return shift
    assert isinstance(projection, nn.Linear | nn.Sequential)
    shifted = copy.deepcopy(projection)
    first = shifted[0] if isinstance(shifted, nn.Sequential) else shifted
    assert isinstance(first, nn.Linear)
    first.bias.sub_(first.weight @ mean_C)
    return shifted
