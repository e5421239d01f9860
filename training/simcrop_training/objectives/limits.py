"""Learned numbers that are kept within limits, and come back from beyond them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def limited(numbers: Tensor, *, least: float = -math.inf, most: float = math.inf) -> Tensor:
    """Numbers cut to limits; at or beyond a limit, a gradient passes that leads back inside, and no other.

    `Tensor.clamp` has no gradient beyond its limits: a scale that begins there, or that a step carried there, would
    never learn again. CLIP cuts the parameter itself after each step for that reason. Here the parameter is left alone,
    since sharded ranks see copies of it within a step: the value used is the same, a step away from the limit is taken
    and a step further out is not. Nothing is remembered from step to step, so that a resumed run learns the same.

    Args:
        numbers: of any shape.
        least: at least so much is used.
        most: at most so much.
    """
    cut: Tensor = _Limited.apply(numbers, least, most)  # type: ignore[no-untyped-call]
    return cut


class _Limited(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, numbers: Tensor, least: float, most: float) -> Tensor:
        context.save_for_backward(numbers >= most, numbers <= least)
        return numbers.clamp(least, most)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        above, below = context.saved_tensors
        # A step goes against the gradient.
        outward = (above & (gradient < 0)) | (below & (gradient > 0))
        return gradient.masked_fill(outward, 0.0), None, None
