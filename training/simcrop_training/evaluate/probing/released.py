"""The released probe's forward pass: a frozen encoder in training mode, a mean of patches, a bare LayerNorm, a head."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.models.transformer import NORM_EPS, Block
from simcrop_core.models.vit import VisionTransformer
from simcrop_training.datasets.labelled import UNKNOWN

Ints = NDArray[np.int64]


def set_drop_path(encoder: VisionTransformer, highest: float) -> None:
    """Let samples skip branches in training mode: with `highest` in the last block, linearly less before it."""
    blocks = [block for block in encoder.blocks if isinstance(block, Block)]
    for index, block in enumerate(blocks):
        block.drop_path = highest * index / max(len(blocks) - 1, 1)


@torch.no_grad()
def released_features(encoder: VisionTransformer, images_B1HWD: Tensor) -> Tensor:
    """(B, C) what the released head reads: the mean over patches, normalised without scale and shift.

    The class token and the encoder's own last LayerNorm are left out. In training mode samples skip branches at random
    (`set_drop_path`).
    """
    tokens = encoder.embed(images_B1HWD)
    for block in encoder.blocks:
        tokens = block(tokens)
    mean_BC = tokens[:, int(encoder.config.cls_token) :].float().mean(dim=1)
    return F.layer_norm(mean_BC, mean_BC.shape[-1:], eps=NORM_EPS)


def new_head(width: int, outputs: int, std: float, seed: int) -> nn.Linear:
    """A head as the released code starts it: tiny weights, no bias."""
    head = nn.Linear(width, outputs)
    assert head.bias is not None
    nn.init.trunc_normal_(head.weight, std=std, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(head.bias)
    return head


def head_loss(logits_BL: Tensor, truth_BL: Tensor, *, classes: bool) -> Tensor:
    """Cross-entropy of classes; of labels the mean binary one over what is known, 0 where nothing is.

    Args:
        logits_BL: of the labels, or of the classes.
        truth_BL: 0, 1 or −1 (unknown) by label; (B, 1) class indices.
        classes: whether scans have one class.
    """
    if classes:
        return F.cross_entropy(logits_BL, truth_BL[:, 0])
    known_BL = (truth_BL != UNKNOWN).to(logits_BL.dtype)
    loss_BL = F.binary_cross_entropy_with_logits(logits_BL, truth_BL.to(logits_BL.dtype), reduction="none")
    return (loss_BL * known_BL).sum() / known_BL.sum().clamp(min=1)


def probabilities(logits_BL: Tensor, *, classes: bool) -> NDArray[np.float64]:
    """Of each label on its own, or of classes that add up to 1."""
    logits_BL = logits_BL.detach().cpu().double()
    found: NDArray[np.float64] = (logits_BL.softmax(dim=1) if classes else logits_BL.sigmoid()).numpy()
    return found
