"""Which patches make a sentence's region while pre-training, and the region's feature (paper Eq. 2 and 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def similarity(a_BSC: Tensor, b_BNC: Tensor, *, normalise: bool) -> Tensor:
    """Cosines, or dot products over √C, of every a with every b in a sample: (B, S, C), (B, N, C) → (B, S, N)."""
    if normalise:
        a_BSC, b_BNC = F.normalize(a_BSC, dim=-1), F.normalize(b_BNC, dim=-1)
    else:
        a_BSC = a_BSC / a_BSC.shape[-1] ** 0.5
    return torch.bmm(a_BSC, b_BNC.mT)


@torch.no_grad()
def top_patches(similarity_BSN: Tensor, top_k: int) -> Tensor:
    """The indices of each sentence's K most similar patches: (B, S, N) → (B, S, min(K, N)), without gradient."""
    return similarity_BSN.topk(min(top_k, similarity_BSN.shape[-1]), dim=-1).indices


def mean_of(patches_BNC: Tensor, chosen_BSK: Tensor) -> Tensor:
    """The mean feature of chosen patches, (B, S, C); gradient reaches those patches and no others."""
    weights_BSN = patches_BNC.new_zeros(*chosen_BSK.shape[:2], patches_BNC.shape[1])
    weights_BSN.scatter_(2, chosen_BSK, 1.0 / chosen_BSK.shape[-1])
    return weights_BSN @ patches_BNC


def softmax_mean(patches_BNC: Tensor, similarity_BSN: Tensor, temperature: float) -> Tensor:
    """The mean feature of all patches by softmax of their similarity, (B, S, C), with gradient throughout (A11)."""
    return (similarity_BSN / temperature).softmax(dim=-1) @ patches_BNC
