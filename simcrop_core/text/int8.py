"""Weight matrices as int8 with a scale for every 64 values: how the packaged text tower is a quarter of its size."""

from __future__ import annotations

from collections.abc import Mapping

import torch

_GROUP = 64
_SCALE = ".scale"
_LEAST_SCALE = 2.0**-24  # the smallest number float16 has


def quantise(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices become int8; vectors stay as they are.

    Symmetric: in every run of 64 values of a row the largest magnitude becomes ±127, so no value moves by more than
    half a step. One scale a whole row costs four times the error for 3 % less.

    Args:
        tensors: by name; the columns of every matrix are a multiple of 64.

    Returns:
        Under each matrix's name its int8 values, and under `<name>.scale` its (rows, columns / 64) float16 scales.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2:
            stored[name] = tensor.contiguous()
            continue
        groups = _grouped(tensor.float())
        scale = (groups.abs().amax(dim=2) / 127).half()
        steps = groups / scale.float().clamp_min(_LEAST_SCALE)[..., None]
        stored[name] = steps.round().clamp(-127, 127).to(torch.int8).flatten(1)
        stored[name + _SCALE] = scale
    return stored


def dequantise(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of `quantise`, in float32; tensors that are not int8 pass through."""
    return {
        name: (_grouped(tensor) * stored[name + _SCALE].float()[..., None]).flatten(1)
        if tensor.dtype == torch.int8
        else tensor
        for name, tensor in stored.items()
        if not name.endswith(_SCALE)
    }


def _grouped(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.reshape(len(matrix), -1, _GROUP)
