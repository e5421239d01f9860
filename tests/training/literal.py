"""Layers written out, one report or image at a time and without padding, to check batched ones against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from simcrop_core.models.masking import masked_patches
from simcrop_core.models.patches import patch_vectors

Numbers = Mapping[str, Tensor]


def linear(p: Numbers, name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def normed(p: Numbers, name: str, x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + 1e-12) * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention(p: Numbers, name: str, x: Tensor, y: Tensor, heads: int) -> Tensor:
    """Of rows x to rows y, head by head."""
    weights, biases = p[f"{name}.in_proj_weight"].chunk(3), p[f"{name}.in_proj_bias"].chunk(3)
    query, key, value = (rows @ w.T + b for rows, w, b in zip((x, y, y), weights, biases, strict=True))
    width = x.shape[1] // heads
    parts = []
    for h in range(heads):
        q, k, v = (t[:, h * width : (h + 1) * width] for t in (query, key, value))
        parts.append(torch.softmax(q @ k.T / width**0.5, dim=-1) @ v)
    return linear(p, f"{name}.out_proj", torch.cat(parts, dim=1))


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def scores(p: Numbers, head: str, x: Tensor) -> Tensor:
    """Of word pieces, by a vocabulary head."""
    return linear(p, f"{head}.decoder", normed(p, f"{head}.norm", gelu(linear(p, f"{head}.dense", x))))


def surprise(scores_V: Tensor, label: int) -> Tensor:
    """Cross-entropy of one piece."""
    return scores_V.exp().sum().log() - scores_V[label]


def hidden_errors(predicted_NP: Tensor, image_1HWD: Tensor, keep_K: Tensor, patch: Sequence[int]) -> list[Tensor]:
    """The mean squared error of each hidden patch."""
    target_NP = patch_vectors(image_1HWD[None], (patch[0], patch[1], patch[2]))[0]
    hidden = masked_patches(keep_K[None], len(target_NP))[0].nonzero().flatten().tolist()
    return [((predicted_NP[n] - target_NP[n]) ** 2).mean() for n in hidden]


def assert_same_gradients(ours: Tensor, literal: Tensor, module: nn.Module) -> None:
    """Of two ways to compute one number from a module's parameters."""
    assert torch.allclose(ours, literal, rtol=1e-9), (ours, literal)
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    for name, a, b in zip(names, *(_gradients(loss, parameters) for loss in (ours, literal)), strict=True):
        assert (a is None) == (b is None), name
        assert a is None or torch.allclose(a, b, rtol=1e-6, atol=1e-9), name


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    # One way may leave a tensor out that the other multiplies by nothing.
    return [None if g is None or not g.any() else g for g in found]


def reached(loss: Tensor, module: nn.Module) -> set[str]:
    """Names of the parameters that a loss moves."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    found = _gradients(loss, list(parameters.values()))
    return {name for name, g in zip(parameters, found, strict=True) if g is not None}
