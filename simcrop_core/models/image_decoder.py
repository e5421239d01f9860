"""The transformer that fills in the masked patches of a frame while pre-training."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from simcrop_core.models.config import ImageDecoderConfig, VisionConfig
from simcrop_core.models.transformer import NORM_EPS, Block, initialise
from simcrop_core.models.vit import position_table


class ImageDecoder(nn.Module):
    """Mask tokens in the places of hidden patches, a few blocks, and a linear map to voxels.

    Its keys are those of MAE-style decoders: `decoder_embed.*`, `mask_token`, `decoder_pos_embed`,
    `decoder_blocks.{i}.*`, `decoder_norm.*`, `decoder_pred.*`.

    Args:
        vision: the encoder's configuration; the position table is of the same kind.
        config: widths and depth.
    """

    decoder_pos_embed: Tensor

    def __init__(self, vision: VisionConfig, config: ImageDecoderConfig) -> None:
        super().__init__()
        dim = config.dim
        self.cls_tokens = int(vision.cls_token)
        self.decoder_embed = nn.Linear(vision.dim, dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim).normal_(std=0.02))
        self.register_buffer("decoder_pos_embed", position_table(replace(vision, dim=dim)))
        self.decoder_blocks = nn.ModuleList(Block(dim, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.decoder_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(dim, vision.patch[0] * vision.patch[1] * vision.patch[2])
        initialise(self)

    def forward(self, tokens_BKC: Tensor, keep_BK: Tensor) -> Tensor:
        """Fill in all patches.

        Args:
            tokens_BKC: (B, cls + K, C) encoder output of the visible patches.
            keep_BK: their indices.

        Returns:
            (B, N, voxels of a patch), in grid order.
        """
        tokens = self.decoder_embed(tokens_BKC)
        patches = placed(tokens[:, self.cls_tokens :], keep_BK, self.mask_token, self._patches)
        tokens = torch.cat([tokens[:, : self.cls_tokens], patches], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        predicted: Tensor = self.decoder_pred(self.decoder_norm(tokens[:, self.cls_tokens :]))
        return predicted

    @property
    def _patches(self) -> int:
        return self.decoder_pos_embed.shape[1] - self.cls_tokens


def placed(tokens_BKC: Tensor, keep_BK: Tensor, filler_11C: Tensor, count: int) -> Tensor:
    """Tokens at their places in the grid, and the filler in all others: (B, K, C) → (B, count, C)."""
    batch, _, dim = tokens_BKC.shape
    filled_BNC = filler_11C.to(tokens_BKC.dtype).expand(batch, count, dim)
    return filled_BNC.scatter(1, keep_BK.unsqueeze(-1).expand(-1, -1, dim), tokens_BKC)
