"""The BERT layers and the vocabulary head that fill in the masked words of a report."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import ReportDecoderConfig
from simcrop_core.models.fusion import BERT_EPS
from simcrop_core.models.state import load_exactly

_PREDICTIONS = "cls.predictions."
_WORDS = "bert.embeddings.word_embeddings.weight"


class VocabularyHead(nn.Module):
    """Linear, GELU, LayerNorm, and one score a word piece; its weights are its own (A19)."""

    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=BERT_EPS)
        self.decoder = nn.Linear(dim, vocabulary)

    def forward(self, states: Tensor) -> Tensor:
        """(…, C) → (…, vocabulary)."""
        scores: Tensor = self.decoder(self.norm(F.gelu(self.dense(states))))
        return scores

    def copy_predictions(self, bert: Mapping[str, Tensor]) -> None:
        """Start from the masked-language head of a BERT with this width and vocabulary (A19).

        Args:
            bert: its tensors by their Hugging Face names (`cls.predictions.*`; where the decoder is tied, the word
                embeddings).

        Raises:
            IncompatibleWeights: a tensor is missing, or has another shape; nothing was taken.
        """
        names = {
            "dense.weight": ("transform.dense.weight",),
            "dense.bias": ("transform.dense.bias",),
            "norm.weight": ("transform.LayerNorm.weight",),
            "norm.bias": ("transform.LayerNorm.bias",),
            "decoder.weight": ("decoder.weight",),
            "decoder.bias": ("decoder.bias", "bias"),
        }
        state = {
            own: bert[_PREDICTIONS + theirs]
            for own, choices in names.items()
            for theirs in choices
            if _PREDICTIONS + theirs in bert
        }
        if "decoder.weight" not in state and _WORDS in bert:
            state["decoder.weight"] = bert[_WORDS]
        load_exactly(self, state)


class ReportDecoder(nn.Module):
    """BERT layers over the fused report (A18); padding is not attended to, positions are not added again.

    Args:
        text_dim: width of the fused report; another width than the decoder's is mapped linearly.
        config: widths, depth and vocabulary.
    """

    def __init__(self, text_dim: int, config: ReportDecoderConfig) -> None:
        super().__init__()
        self.embed = nn.Identity() if text_dim == config.dim else nn.Linear(text_dim, config.dim)
        self.layers = nn.ModuleList(_bert_layer(config) for _ in range(config.depth))
        self.head = VocabularyHead(config.dim, config.vocabulary)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, fused_BTC: Tensor, padding_BT: Tensor) -> Tensor:
        """The states that `head` scores: (B, T, text width), padding true where there is no word piece → (B, T, C)."""
        states: Tensor = self.embed(fused_BTC)
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=padding_BT)
        return states


def _bert_layer(config: ReportDecoderConfig) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        config.dim,
        config.heads,
        dim_feedforward=config.hidden,
        dropout=config.dropout,
        activation="gelu",
        layer_norm_eps=BERT_EPS,
        batch_first=True,
    )
    layer.dropout.p = 0.0  # BERT drops after each sublayer, not between the two linear layers of one.
    return layer
