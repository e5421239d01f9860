"""Where the masked report meets the image: cross-attention to patches, plus their mean."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig

BERT_EPS = 1e-12


class Fusion(nn.Module):
    """f^W, what each word piece draws from the patches, plus f^I, the patches' mean.

    "residual" gives LayerNorm(f_t + Dropout(W(f^W + f^I))), "literal" f^W + f^I as the paper prints it (A16, A17;
    docs/methods/simcrop.md).

    Raises:
        ValueError: f^I is used as it is, but patches and text differ in width.
    """

    def __init__(
        self,
        text_dim: int,
        vision_dim: int,
        *,
        heads: int,
        mode: Literal["residual", "literal"],
        dropout: float,
        use_instance: bool = True,
        use_word: bool = True,
        project_global: bool = False,
    ) -> None:
        super().__init__()
        if use_instance and not project_global and text_dim != vision_dim:
            raise ValueError(f"The mean patch has width {vision_dim}, the text {text_dim}: set project_global.")
        self.heads, self.use_instance, self.use_word = heads, use_instance, use_word
        if use_word:
            self.query = nn.Linear(text_dim, text_dim)
            self.key = nn.Linear(vision_dim, text_dim)
            self.value = nn.Linear(vision_dim, text_dim)
        if use_instance:
            self.instance = nn.Linear(vision_dim, text_dim) if project_global else nn.Identity()
        self.residual = mode == "residual"
        if self.residual:
            self.out = nn.Linear(text_dim, text_dim)
            self.dropout = nn.Dropout(dropout)
            self.norm = nn.LayerNorm(text_dim, eps=BERT_EPS)

    def forward(self, report_BTC: Tensor, patches_BKC: Tensor) -> Tensor:
        """(B, T, text width) with (B, K, vision width) → (B, T, text width)."""
        drawn = report_BTC.new_zeros(())
        if self.use_word:
            drawn = drawn + self.word_features(report_BTC, patches_BKC)
        if self.use_instance:
            drawn = drawn + self.instance(patches_BKC.mean(dim=1, keepdim=True))
        if not self.residual:
            return drawn.expand_as(report_BTC)
        fused: Tensor = self.norm(report_BTC + self.dropout(self.out(drawn)))
        return fused

    def word_features(self, report_BTC: Tensor, patches_BKC: Tensor) -> Tensor:
        """f^W: attention of word pieces to patches, heads side by side, (B, T, text width)."""

        def split(states: Tensor) -> Tensor:
            return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)

        query, key, value = self.query(report_BTC), self.key(patches_BKC), self.value(patches_BKC)
        return F.scaled_dot_product_attention(split(query), split(key), split(value)).transpose(1, 2).flatten(2)


class FusionLayer(nn.Module):
    """ECAMP's whole layer: self-attention among word pieces, `Fusion` with a projected f^I, feed-forward (A16b)."""

    def __init__(self, fusion: Fusion, text_dim: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(text_dim, heads, dropout=dropout, batch_first=True)
        self.self_norm = nn.LayerNorm(text_dim, eps=BERT_EPS)
        self.fusion = fusion
        self.feed_forward = nn.Sequential(nn.Linear(text_dim, hidden), nn.GELU(), nn.Linear(hidden, text_dim))
        self.out_norm = nn.LayerNorm(text_dim, eps=BERT_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, report_BTC: Tensor, patches_BKC: Tensor, padding_BT: Tensor) -> Tensor:
        """(B, T, text width) with (B, K, vision width); padding true where there is no word piece."""
        mixed, _ = self.self_attention(
            report_BTC, report_BTC, report_BTC, key_padding_mask=padding_BT, need_weights=False
        )
        fused = self.fusion(self.self_norm(report_BTC + self.dropout(mixed)), patches_BKC)
        out: Tensor = self.out_norm(fused + self.dropout(self.feed_forward(fused)))
        return out


def fusion_for(config: PretrainingConfig) -> Fusion | FusionLayer:
    """The fusion that a configuration asks for."""
    whole_layer = config.fusion == "ecamp"
    fusion = Fusion(
        config.report_dim,
        config.vision.dim,
        heads=config.fusion_heads,
        mode="literal" if config.fusion == "literal" else "residual",
        dropout=config.report_decoder.dropout,
        use_instance=config.use_instance,
        use_word=config.use_word,
        project_global=config.project_global or whole_layer,
    )
    if not whole_layer:
        return fusion
    return FusionLayer(
        fusion,
        config.report_dim,
        heads=config.fusion_heads,
        hidden=config.report_decoder.hidden,
        dropout=config.report_decoder.dropout,
    )
