"""The size of a ViT, read from the names and shapes of its tensors (timm's names)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights

_BLOCK = re.compile(r"blocks\.(\d+)\.")
_HEAD_WIDTH = 64
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class EncoderSize:
    """What the tensors tell about their network.

    Attributes:
        patch: of the patch embedding's kernel: two sides for 2D images, three for volumes.
        heads: one for every 64 channels, as in every ViT of this family; the file does not say.
    """

    dim: int
    depth: int
    heads: int
    mlp_ratio: int
    channels: int
    patch: tuple[int, ...]
    cls_token: bool


def encoder_size(tensors: Mapping[str, Tensor]) -> EncoderSize:
    """Read the size of an image encoder; gaps among its tensors are for the importer to find.

    Raises:
        IncompatibleWeights: there is no patch embedding or no block, or the width is not one of ViTs.
    """
    weight = tensors.get("patch_embed.proj.weight")
    blocks = {int(found[1]) for key in tensors if (found := _BLOCK.match(key))}
    if weight is None or weight.ndim not in (4, 5) or not blocks:
        raise IncompatibleWeights(
            "The file holds no vision transformer: patch_embed.proj.weight or the blocks are missing.",
            hint="Name the file's kind with --format if it is another one.",
        )
    dim, channels, *patch = weight.shape
    if dim % _HEAD_WIDTH:
        raise IncompatibleWeights(
            f"The encoder is {dim} wide, which does not divide into heads of {_HEAD_WIDTH} channels.",
            hint="Only ViT encoders of the usual sizes are imported.",
        )
    hidden = tensors.get("blocks.0.mlp.fc1.bias")
    return EncoderSize(
        dim=dim,
        depth=max(blocks) + 1,
        heads=dim // _HEAD_WIDTH,
        mlp_ratio=4 if hidden is None else len(hidden) // dim,
        channels=channels,
        patch=tuple(patch),
        cls_token="cls_token" in tensors,
    )


def cubic_grid(table_1NC: Tensor, *, cls_row: bool) -> tuple[int, int, int]:
    """The patch grid behind a position table: as many patches along z as along x and y, as the released code has it.

    Raises:
        IncompatibleWeights: the number of rows is of no such grid.
    """
    rows = table_1NC.shape[1] - int(cls_row) if table_1NC.ndim == 3 else 0
    side = round(max(rows, 0) ** (1 / 3))
    if side == 0 or side**3 != rows:
        raise IncompatibleWeights(
            f"The position table {tuple(table_1NC.shape)} is of no cubic grid of patches.",
            hint="Only encoders of cubic grids, such as 14 × 14 × 14, are imported.",
        )
    return side, side, side


def is_depth_blind(table_1NC: Tensor, grid: tuple[int, int, int], *, cls_row: bool) -> bool:
    """Whether the table has the same row for all patches of one x and y, so that z is unknown to the encoder."""
    table_HWDC = table_1NC[0, int(cls_row) :].float().reshape(*grid, -1)
    return bool((table_HWDC - table_HWDC[:, :, :1]).abs().max() < _ROUNDING)
