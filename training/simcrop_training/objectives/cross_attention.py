"""Attention of one kind of state to another, with softmax or sigmoid weights."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.fusion import BERT_EPS
from simcrop_core.models.losses import at_least_float32

Weights = Literal["sigmoid", "softmax"]


def attention_weights(scores_BHQK: Tensor, kept_BK: Tensor, kind: Weights) -> Tensor:
    """Weights of keys for every query, 0 where a key is not kept.

    A softmax shares out 1 among the keys. A sigmoid weighs each key for itself: several may matter, or none. Its scores
    are lowered by the logarithm of the number of keys, so that the weights of keys that say nothing add up to about 1
    for any number of them (Ramapuram et al. 2024, arXiv:2409.04431).

    Args:
        scores_BHQK: similarities of queries and keys.
        kept_BK: true for keys, false for padding.
        kind: of weights.
    """
    kept_B11K = kept_BK[:, None, None]
    if kind == "softmax":
        lowest = torch.finfo(scores_BHQK.dtype).min
        return scores_BHQK.masked_fill(~kept_B11K, lowest).softmax(dim=-1) * kept_B11K
    count_B111 = kept_B11K.sum(dim=-1, keepdim=True).clamp(min=1)
    return (scores_BHQK - count_B111.to(scores_BHQK.dtype).log()).sigmoid() * kept_B11K


class CrossLayer(nn.Module):
    """Cross-attention and MLP, each followed by its residual sum and LayerNorm.

    Args:
        dim: of queries, keys and values.
        heads: of the attention.
        kind: of its weights.
    """

    def __init__(self, dim: int, heads: int, kind: Weights) -> None:
        super().__init__()
        self.heads, self.kind = heads, kind
        self.query = nn.Linear(dim, dim)
        # With a softmax a bias of the keys would add the same to all scores of a query.
        self.key = nn.Linear(dim, dim, bias=kind == "sigmoid")
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=BERT_EPS)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.out_norm = nn.LayerNorm(dim, eps=BERT_EPS)

    def forward(self, states_BQC: Tensor, others_BKC: Tensor, kept_BK: Tensor) -> tuple[Tensor, Tensor]:
        """States after they drew from the others, (B, Q, C), and what they drew by, (B, Q, K), a mean over heads.

        Args:
            states_BQC: that draw.
            others_BKC: that are drawn from.
            kept_BK: which of them are no padding.
        """
        query, key, value = self.query(states_BQC), self.key(others_BKC), self.value(others_BKC)
        scores_BHQK = self._split(query) @ self._split(key).mT / (query.shape[-1] // self.heads) ** 0.5
        # In bfloat16 the logarithm of 2744 keys would leave two digits of a score.
        weights_BHQK = attention_weights(at_least_float32(scores_BHQK), kept_BK, self.kind)
        drawn_BQC = (weights_BHQK.to(value.dtype) @ self._split(value)).transpose(1, 2).flatten(2)
        states_BQC = self.norm(states_BQC + self.out(drawn_BQC))
        out_BQC: Tensor = self.out_norm(states_BQC + self.feed_forward(states_BQC))
        return out_BQC, weights_BHQK.mean(dim=1)

    def _split(self, states_BNC: Tensor) -> Tensor:
        batch, count, dim = states_BNC.shape
        return states_BNC.view(batch, count, self.heads, dim // self.heads).transpose(1, 2)


class CrossAttention(nn.Module):
    """Several such layers, all drawing from the same states."""

    def __init__(self, dim: int, *, heads: int, layers: int, kind: Weights) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(dim, heads, kind) for _ in range(layers))

    def forward(self, states_BQC: Tensor, others_BKC: Tensor, kept_BK: Tensor) -> tuple[Tensor, Tensor]:
        """As `CrossLayer`; the weights are the last layer's."""
        weights_BQK = states_BQC.new_zeros(())
        for layer in self.layers:
            states_BQC, weights_BQK = layer(states_BQC, others_BKC, kept_BK)
        return states_BQC, weights_BQK


def mean_of_kept(states_BNC: Tensor, kept_BN: Tensor) -> Tensor:
    """The mean of the states that are no padding, (B, C); 0 where there are none."""
    kept_BN1 = kept_BN.unsqueeze(-1).to(states_BNC.dtype)
    return (states_BNC * kept_BN1).sum(dim=1) / kept_BN1.sum(dim=1).clamp(min=1)


def unit(states: Tensor) -> Tensor:
    """Vectors of length 1 along the last axis."""
    return F.normalize(states, dim=-1)
