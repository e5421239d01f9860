"""The ViT that M3D-CLIP's makers trained, as MONAI has it."""

from __future__ import annotations

import torch
from monai.networks.nets import ViT
from torch import Tensor

from simcrop_core.models.config import M3dConfig


def monai_vit(config: M3dConfig) -> ViT:
    """With random numbers in every tensor, the class token and the norms among them."""
    vit = ViT(
        1, config.image, config.patch, config.dim, config.mlp_ratio * config.dim, config.depth, config.heads,
        proj_type="perceptron", classification=True, qkv_bias=False,
    )  # fmt: skip
    numbers = torch.Generator().manual_seed(4)
    for parameter in vit.parameters():
        parameter.data = parameter.data + 0.2 * torch.randn(parameter.shape, generator=numbers)
    return vit.eval()


@torch.no_grad()
def monai_tokens(vit: ViT, images: Tensor) -> Tensor:
    """All tokens after the last norm; MONAI's own output goes through a head that M3D-CLIP does not have."""
    normed: Tensor = vit.norm(vit(images)[1][-1])
    return normed
