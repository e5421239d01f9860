"""The image encoder of M3D-CLIP, which the shared one cannot stand in for (docs/methods/m3d.md)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from simcrop_core.imaging.volume import Volume
from simcrop_core.models.config import M3dConfig
from simcrop_core.models.m3d_image import m3d_image
from simcrop_core.models.transformer import Block
from simcrop_core.models.vit import PatchEmbedding

Pooling = Literal["mean", "cls"]


class M3dBlock(Block):
    """A pre-norm block as MONAI has it: no bias for queries, keys and values, and LayerNorms of ε 1e-5."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__(dim, heads, mlp_ratio)
        self.attn.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)


class M3dEncoder(nn.Module):
    """M3D-CLIP's ViT: learned positions for the patches, none for the class token.

    Its keys are those of the shared encoder as far as both have the tensor; `pos_embed` is (1, N, C).
    """

    def __init__(self, config: M3dConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbedding(config.patch, config.dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.dim))
        self.blocks = nn.ModuleList(M3dBlock(config.dim, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, images_B1SRC: Tensor) -> Tensor:
        """Encode images.

        Args:
            images_B1SRC: slices, rows and columns as the configuration has them, intensities in 0…1
                (`m3d_image.m3d_image`).

        Returns:
            (B, 1 + N, C) tokens after the final LayerNorm, the class token first, columns fastest.

        Raises:
            ValueError: the images do not have the configured shape.
        """
        if tuple(images_B1SRC.shape[2:]) != self.config.image:
            raise ValueError(f"This encoder is for images of {self.config.image}, not {tuple(images_B1SRC.shape[2:])}.")
        patches_BNC = self.patch_embed(images_B1SRC) + self.pos_embed
        tokens_BNC = torch.cat([self.cls_token.expand(len(patches_BNC), -1, -1), patches_BNC], dim=1)
        for block in self.blocks:
            tokens_BNC = block(tokens_BNC)
        normed_BNC: Tensor = self.norm(tokens_BNC)
        return normed_BNC

    def features(self, images_B1SRC: Tensor, pooling: Pooling = "mean") -> Tensor:
        """(B, C) what a linear probe reads of an image: the mean of its patch tokens, or the class token."""
        tokens_BNC = self.forward(images_B1SRC)
        return tokens_BNC[:, 1:].mean(dim=1) if pooling == "mean" else tokens_BNC[:, 0]


@torch.no_grad()
def m3d_features(encoder: M3dEncoder, volume: Volume, pooling: Pooling = "mean") -> Tensor:
    """(C,) what a linear probe reads of a scan, from its Hounsfield units on."""
    image_1SRC = torch.from_numpy(m3d_image(volume, encoder.config))
    weight = encoder.cls_token
    return encoder.features(image_1SRC[None].to(weight.device, weight.dtype), pooling)[0]
