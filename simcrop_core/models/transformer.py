"""The pre-norm transformer block of the image encoder and the image decoder, with timm's key names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with one fused query-key-value projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"A width of {dim} cannot be split into {heads} heads.")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, C) → (B, N, C)."""
        batch, count, dim = tokens_BNC.shape
        qkv = self.qkv(tokens_BNC).view(batch, count, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, dim))
        return out


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, C) → (B, N, C)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens_BNC)))
        return out


class Block(nn.Module):
    """Attention, then MLP, each after a LayerNorm and added to the stream.

    Args:
        drop_path: probability, while training, that a sample skips a branch.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, mlp_ratio * dim)
        self.drop_path = drop_path

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, C) → (B, N, C)."""
        tokens_BNC = tokens_BNC + self._kept(self.attn(self.norm1(tokens_BNC)))
        return tokens_BNC + self._kept(self.mlp(self.norm2(tokens_BNC)))

    def _kept(self, branch_BNC: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return branch_BNC
        keep = 1.0 - self.drop_path
        drawn_B11 = torch.rand(branch_BNC.shape[0], 1, 1, device=branch_BNC.device) < keep
        return branch_BNC * (drawn_B11.to(branch_BNC.dtype) / keep)


def initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in every linear layer, as MAE-style encoders start."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
