"""The 3D vision transformer that turns a frame into patch features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import VisionConfig
from simcrop_core.models.patches import patch_vectors
from simcrop_core.models.positions import simcrop_official, sincos3d
from simcrop_core.models.transformer import NORM_EPS, Block, initialise


def position_table(config: VisionConfig) -> Tensor:
    """The (1, tokens, C) table that a configuration asks for; zeros where the weights file brings it."""
    rows = config.tokens + int(config.cls_token)
    match config.positions:
        case "sincos3d":
            table = sincos3d(config.grid, config.dim, cls_row=config.cls_token)
        case "simcrop_official":
            table = simcrop_official(config.grid, config.dim, cls_row=config.cls_token)
        case "checkpoint":
            table = torch.zeros(rows, config.dim)
    return table.unsqueeze(0)


class PatchEmbedding(nn.Module):
    """Patches to tokens in one matrix product, with the weight stored in a convolution's shape."""

    def __init__(self, patch: tuple[int, int, int], dim: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv3d(1, dim, kernel_size=patch, stride=patch)
        nn.init.xavier_uniform_(self.proj.weight.data.flatten(1))
        assert self.proj.bias is not None
        nn.init.zeros_(self.proj.bias)

    def forward(self, images_B1HWD: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """Embed all patches, or those of `keep_BK`: (B, 1, H, W, D) → (B, N or K, C)."""
        weight = self.proj.weight
        patches_BNP = patch_vectors(images_B1HWD, self.patch, weight.dtype)
        if keep_BK is not None:
            patches_BNP = take_tokens(patches_BNP, keep_BK)
        return F.linear(patches_BNP, weight.flatten(1), self.proj.bias)


class VisionTransformer(nn.Module):
    """Pre-norm ViT over 3D patches, with a fixed position table (docs/methods/simcrop.md).

    Its state dict has the keys of the released weights: `cls_token`, `pos_embed`, `patch_embed.proj.*`,
    `blocks.{i}.*`, `norm.*`.

    Args:
        config: widths, depth, frame and position table.
        drop_path: of the last block, growing linearly from 0 at the first; acts only while training.
    """

    pos_embed: Tensor

    def __init__(self, config: VisionConfig, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbedding(config.patch, config.dim)
        if config.cls_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, config.dim).normal_(std=0.02))
        self.register_buffer("pos_embed", position_table(config))
        rates = [drop_path * index / max(config.depth - 1, 1) for index in range(config.depth)]
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.mlp_ratio, rate) for rate in rates)
        initialise(self.blocks)
        self.norm = nn.LayerNorm(config.dim, eps=NORM_EPS)

    def forward(self, images_B1HWD: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """Encode frames.

        Args:
            images_B1HWD: intensities in −1…1; cast to the weights' type.
            keep_BK: indices of the patches to encode (the visible ones of a masked pass); all of them if None.

        Returns:
            (B, cls + N or K, C) tokens after the final LayerNorm; patch tokens in the order of `keep_BK`, or with z
            fastest.

        Raises:
            ValueError: the images do not have the configured shape.
        """
        tokens = self.embed(images_B1HWD, keep_BK)
        for block in self.blocks:
            tokens = block(tokens)
        return self.final_norm(tokens)

    def patch_features(self, images_B1HWD: Tensor) -> Tensor:
        """The features of all patches, without the class token: (B, 1, H, W, D) → (B, N, C)."""
        return self.forward(images_B1HWD)[:, int(self.config.cls_token) :]

    def with_hidden(self, images_B1HWD: Tensor, after: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Encode frames and keep the stream after some blocks.

        Args:
            images_B1HWD: intensities in −1…1.
            after: indices of blocks, in rising order.

        Returns:
            The tokens after the final LayerNorm, and the (B, cls + N, C) stream after each of those blocks.
        """
        tokens = self.embed(images_B1HWD)
        hidden: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in after:
                hidden.append(tokens)
        return self.final_norm(tokens), hidden

    def embed(self, images_B1HWD: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """Patch tokens with their positions, the class token in front: what enters the first block."""
        if tuple(images_B1HWD.shape[2:]) != self.config.image:
            raise ValueError(
                f"The position table is for frames of {self.config.image} voxels, not {tuple(images_B1HWD.shape[2:])}."
            )
        tokens: Tensor = self.patch_embed(images_B1HWD, keep_BK)
        first = int(self.config.cls_token)
        positions = self.pos_embed[:, first:]
        if keep_BK is not None:
            positions = take_tokens(positions.expand(len(keep_BK), -1, -1), keep_BK)
        tokens = tokens + positions
        if not self.config.cls_token:
            return tokens
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([cls_token, tokens], dim=1)

    def final_norm(self, tokens_BNC: Tensor) -> Tensor:
        """The last LayerNorm, token by token."""
        out: Tensor = self.norm(tokens_BNC)
        return out


def take_tokens(tokens_BNC: Tensor, keep_BK: Tensor) -> Tensor:
    """The tokens at `keep_BK` of every sample, in that order: (B, N, C) → (B, K, C)."""
    return tokens_BNC.gather(1, keep_BK.unsqueeze(-1).expand(-1, -1, tokens_BNC.shape[-1]))
