"""The BERT encoder, small enough to read in one sitting.

Importing `transformers` costs seconds and this network a page, so every BERT text tower (the packaged MiniLM, CXR-BERT)
runs through here; only other architectures go through `transformers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from simcrop_core.errors import IncompatibleWeights


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The numbers that define a BERT encoder, named as here and not as in Hugging Face's config.json."""

    vocabulary: int
    positions: int
    dim: int
    depth: int
    heads: int
    mlp_dim: int
    norm_eps: float
    segments: int

    @classmethod
    def from_hugging_face(cls, config: Mapping[str, Any]) -> BertConfig:
        """The same from the content of a Hugging Face config.json."""
        return cls(
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            dim=config["hidden_size"],
            depth=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            mlp_dim=config["intermediate_size"],
            norm_eps=config["layer_norm_eps"],
            segments=config["type_vocab_size"],
        )


class BertLayer(nn.Module):
    """Self-attention and MLP, each followed by its residual sum and LayerNorm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)
        self.norm1 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.fc1 = nn.Linear(config.dim, config.mlp_dim)
        self.fc2 = nn.Linear(config.mlp_dim, config.dim)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.norm_eps)

    def forward(self, tokens_BTC: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Tokens (B, T, C) to tokens of the same shape; `mask` (B, 1, 1, T) is true where a token may be attended."""
        B, T, C = tokens_BTC.shape
        q, k, v = self.qkv(tokens_BTC).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(B, T, C)
        tokens_BTC = self.norm1(tokens_BTC + self.proj(attended))
        normed_BTC: torch.Tensor = self.norm2(tokens_BTC + self.fc2(functional.gelu(self.fc1(tokens_BTC))))
        return normed_BTC


class Bert(nn.Module):
    """BERT without heads and without dropout: token ids in, the last layer's tokens out."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        # Not nn.Embedding: its random start on the meta device makes torch import sympy, which takes a second.
        self.words = nn.Parameter(torch.empty(config.vocabulary, config.dim))
        self.positions = nn.Parameter(torch.empty(config.positions, config.dim))
        self.segments = nn.Parameter(torch.empty(config.segments, config.dim))
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.depth))

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Encode token ids.

        Args:
            ids_BT: (B, T) token ids, all of the first segment, T at most `config.positions`.
            mask_BT: (B, T) true for tokens, false for padding; None where nothing is padded.

        Returns:
            (B, T, C) tokens of the last layer.
        """
        embedded_BTC = functional.embedding(ids_BT, self.words) + self.positions[: ids_BT.shape[1]] + self.segments[0]
        tokens_BTC: torch.Tensor = self.norm(embedded_BTC)
        attention_mask = None if mask_BT is None else mask_BT.bool()[:, None, None, :]
        for layer in self.layers:
            tokens_BTC = layer(tokens_BTC, attention_mask)
        return tokens_BTC


def bert_from_hugging_face(config: BertConfig, tensors: Mapping[str, torch.Tensor]) -> Bert:
    """A `Bert` with the weights of a Hugging Face checkpoint, in eval mode and without gradients.

    Takes the encoder of `BertModel`, `BertForMaskedLM` and CXR-BERT files alike; heads, the pooler and `position_ids`
    are left out.

    Raises:
        IncompatibleWeights: a tensor of the encoder is missing or has another shape.
    """
    with torch.device("meta"):
        network = Bert(config)
    try:
        network.load_state_dict(_renamed(config, tensors), assign=True)
    except (KeyError, RuntimeError) as fault:
        raise IncompatibleWeights(
            f"The file is not a whole BERT encoder of the size its config.json gives: {fault}",
            hint="Fetch the model's folder again, or convert the original with `simcrop weights import`.",
        ) from fault
    return network.eval().requires_grad_(False)


_LAYER_NAMES = {
    "proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "norm2": "output.LayerNorm",
}


def _renamed(config: BertConfig, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our names for the encoder's tensors; query, key and value become one matrix."""
    source = {_modern_name(name): tensor.float() for name, tensor in tensors.items() if tensor.is_floating_point()}
    renamed = {
        "words": source["embeddings.word_embeddings.weight"],
        "positions": source["embeddings.position_embeddings.weight"],
        "segments": source["embeddings.token_type_embeddings.weight"],
        "norm.weight": source["embeddings.LayerNorm.weight"],
        "norm.bias": source["embeddings.LayerNorm.bias"],
    }
    for i in range(config.depth):
        layer = f"encoder.layer.{i}"
        for part in ("weight", "bias"):
            qkv = [source[f"{layer}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            renamed[f"layers.{i}.qkv.{part}"] = torch.cat(qkv)
            for ours, theirs in _LAYER_NAMES.items():
                renamed[f"layers.{i}.{ours}.{part}"] = source[f"{layer}.{theirs}.{part}"]
    return renamed


def _modern_name(name: str) -> str:
    """Without the `bert.` of models with heads; `gamma` and `beta` are how files converted from TensorFlow say it."""
    name = name.removeprefix("bert.")
    return re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: f"LayerNorm.{_TENSORFLOW[m[1]]}", name)


_TENSORFLOW = {"gamma": "weight", "beta": "bias"}
