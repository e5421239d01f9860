"""The network of M3AE: the shared image encoder and a text encoder, joined by co-attention (docs/methods/m3ae.md)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.fusion import BERT_EPS
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.report_decoder import VocabularyHead
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.mae3d import MaskedAutoencoder


class CoAttention(nn.Module):
    """Two streams of tokens that read each other.

    A layer of a stream is self-attention, cross-attention to the other stream as it enters that layer, and a
    feed-forward net of four times the width, each followed by its residual sum and LayerNorm as in BERT.
    """

    def __init__(self, dim: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.image_layers = nn.ModuleList(_layer(dim, heads, dropout) for _ in range(depth))
        self.text_layers = nn.ModuleList(_layer(dim, heads, dropout) for _ in range(depth))

    def forward(
        self, image_BNC: Tensor, text_BTC: Tensor, padding_BT: Tensor, depth: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both streams after the first `depth` layers, or after all; padding is true where there is no word piece."""
        for of_image, of_text in zip(self.image_layers[:depth], self.text_layers[:depth], strict=True):
            image_BNC, text_BTC = (
                of_image(image_BNC, text_BTC, memory_key_padding_mask=padding_BT),
                of_text(text_BTC, image_BNC, tgt_key_padding_mask=padding_BT),
            )
        return image_BNC, text_BTC

    def image_before(self, layer: int, image_BNC: Tensor, text_BTC: Tensor, padding_BT: Tensor) -> Tensor:
        """The image stream as it enters a layer, from 0 and not the first; what it does not need is left out."""
        image_BNC, text_BTC = self(image_BNC, text_BTC, padding_BT, layer - 1)
        stored_BNC: Tensor = self.image_layers[layer - 1](image_BNC, text_BTC, memory_key_padding_mask=padding_BT)
        return stored_BNC

    def text_after(self, image_BNC: Tensor, text_BTC: Tensor, padding_BT: Tensor) -> Tensor:
        """The text stream after all layers; what it does not need is left out."""
        image_BNC, text_BTC = self(image_BNC, text_BTC, padding_BT, -1)
        last_BTC: Tensor = self.text_layers[-1](text_BTC, image_BNC, tgt_key_padding_mask=padding_BT)
        return last_BTC


class MultiModalAutoencoder(MaskedAutoencoder):
    """What fills in words by the image and patches by the report, and tells whether the two belong together.

    Co-attention is as wide as the image encoder and has its heads.

    Args:
        config: of image encoder, image decoder and vocabulary.
        bert: the text encoder, which learns.
        layers: of co-attention, in each stream.
        read_before: layer, counted from 0, at whose entry the image decoder reads the image stream.
        pooled: whether every 2 × 2 × 2 patches of an unmasked image enter co-attention as their mean.
    """

    def __init__(self, config: PretrainingConfig, bert: Bert, *, layers: int, read_before: int, pooled: bool) -> None:
        super().__init__(config)
        vision, dim = config.vision, config.vision.dim
        self.read_before, self.pooled = read_before, pooled
        self.text_encoder = bert.requires_grad_(True)
        self.image_projection = nn.Linear(dim, dim)
        self.text_projection = nn.Linear(bert.config.dim, dim)
        self.image_type_token = nn.Parameter(torch.empty(1, 1, dim).normal_(std=0.02))
        self.text_type_token = nn.Parameter(torch.empty(1, 1, dim).normal_(std=0.02))
        self.co_attention = CoAttention(dim, vision.heads, layers, config.report_decoder.dropout)
        self.image_pooler = nn.Linear(dim, dim)
        self.text_pooler = nn.Linear(dim, dim)
        self.word_head = VocabularyHead(dim, config.report_decoder.vocabulary)
        self.match_head = nn.Linear(2 * dim, 1)
        for part in (self.image_projection, self.text_projection, self.image_pooler, self.text_pooler):
            _initialise(part)
        for whole in (self.co_attention, self.word_head, self.match_head):
            _initialise(whole)

    def word_scores(self, tokens_BNC: Tensor, masked_BTC: Tensor, padding_BT: Tensor, labels_BT: Tensor) -> Tensor:
        """Scores of the pieces that are asked for, in order, from a whole image and a masked report, both encoded."""
        streams = self._image_stream(self._fewer(tokens_BNC)), self._text_stream(masked_BTC)
        states_BTC = self.co_attention.text_after(*streams, padding_BT)
        scores: Tensor = self.word_head(states_BTC[labels_BT != NOT_A_TARGET])
        return scores

    def stored(self, visible_BKC: Tensor, words_BTC: Tensor, padding_BT: Tensor) -> Tensor:
        """What the image decoder reads, (B, cls + K, C), from a masked image and a whole report, both encoded."""
        streams = self._image_stream(visible_BKC), self._text_stream(words_BTC)
        return self.co_attention.image_before(self.read_before, *streams, padding_BT)

    def match_logits(self, tokens_BNC: Tensor, words_BTC: Tensor, padding_BT: Tensor) -> Tensor:
        """(B,) log odds that image and report belong together, both whole and encoded."""
        streams = self._image_stream(self._fewer(tokens_BNC)), self._text_stream(words_BTC)
        image_BNC, text_BTC = self.co_attention(*streams, padding_BT)
        pooled = self.image_pooler(image_BNC[:, 0]).tanh(), self.text_pooler(text_BTC[:, 0]).tanh()
        logits_B1: Tensor = self.match_head(torch.cat(pooled, dim=1))
        return logits_B1[:, 0]

    def _image_stream(self, tokens_BNC: Tensor) -> Tensor:
        projected: Tensor = self.image_projection(tokens_BNC)
        return projected + self.image_type_token

    def _text_stream(self, states_BTC: Tensor) -> Tensor:
        projected: Tensor = self.text_projection(states_BTC)
        return projected + self.text_type_token

    def _fewer(self, tokens_BNC: Tensor) -> Tensor:
        """The class token and the means of 2 × 2 × 2 patches, where that is wanted."""
        if not self.pooled:
            return tokens_BNC
        grid_BCHWD = tokens_BNC[:, 1:].transpose(1, 2).unflatten(2, self.config.vision.grid)
        means_BCHWD = F.avg_pool3d(grid_BCHWD, 2, ceil_mode=True, count_include_pad=False)
        return torch.cat([tokens_BNC[:, :1], means_BCHWD.flatten(2).transpose(1, 2)], dim=1)


def _layer(dim: int, heads: int, dropout: float) -> nn.TransformerDecoderLayer:
    layer = nn.TransformerDecoderLayer(
        dim,
        heads,
        dim_feedforward=4 * dim,
        dropout=dropout,
        activation="gelu",
        layer_norm_eps=BERT_EPS,
        batch_first=True,
    )
    layer.dropout.p = 0.0  # BERT drops after each sublayer, not between the two linear layers of one.
    return layer


def _initialise(part: nn.Module) -> None:
    """As BERT starts: normal weights of deviation 0.02, and zero biases."""
    for module in part.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            nn.init.normal_(module.in_proj_weight, std=0.02)
