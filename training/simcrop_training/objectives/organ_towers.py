"""An image encoder that is asked for organs, beside a text encoder."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import at_least_float32
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.limits import limited

# Blocks are numbered as in an encoder of this depth.
_REFERENCE_DEPTH = 12


class OrganTowers(nn.Module):
    """The shared image encoder, a query an organ that draws from the organ's patches, and a trained text encoder.

    Args:
        config: of the image encoder.
        bert: the text encoder, which learns.
        organs: how many.
        dim: of the common space.
        heads: of the attention that all organs share.
        dropout: in it.
        levels: blocks of 12 whose output is seen beside that of the last norm; in proportion in other depths.
        temperature: at the start.
        with_peer: a second network of the same kind is trained beside this one (co-teaching).
    """

    def __init__(
        self,
        config: PretrainingConfig,
        bert: Bert,
        *,
        organs: int,
        dim: int,
        heads: int,
        dropout: float,
        levels: tuple[int, ...],
        temperature: float,
        with_peer: bool = False,
    ) -> None:
        super().__init__()
        width = config.vision.dim
        self.organs, self.heads, self.levels = organs, heads, levels_of(config.vision.depth, levels)
        self.vision = VisionTransformer(config.vision)
        self.query_token = nn.Parameter(torch.zeros(organs, width))
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        # One map of its own for every organ, side by side.
        self.image_projection = nn.Linear(width, organs * dim)
        self.text_projection = nn.Linear(bert.config.dim, dim)
        self.temperature = nn.Parameter(torch.tensor([temperature]))
        peer_bert = copy.deepcopy(bert) if with_peer else None
        self.text_encoder = bert.requires_grad_(True)
        self.peer: OrganTowers | None = None
        if peer_bert is not None:
            self.peer = OrganTowers(
                config, peer_bert, organs=organs, dim=dim, heads=heads, dropout=dropout, levels=levels,
                temperature=temperature,
            )  # fmt: skip

    def organ_vectors(self, images_B1HWD: Tensor, tokens_BON: Tensor) -> Tensor:
        """(B, O, dim) of length 1, float32 or wider.

        Args:
            images_B1HWD: frames.
            tokens_BON: true where a patch belongs to an organ; the vector of an organ without any means nothing.
        """
        first = int(self.vision.config.cls_token)
        last_BNC, hidden = self.vision.with_hidden(images_B1HWD, [level - 1 for level in self.levels])
        features_BMC = torch.cat([tokens_BNC[:, first:] for tokens_BNC in (*hidden, last_BNC)], dim=1)
        # A softmax over nothing is not a number, and would stay one through every mask behind it.
        seen_BON = tokens_BON | ~tokens_BON.any(dim=2, keepdim=True)
        hidden_BOM = ~seen_BON.repeat(1, 1, len(self.levels) + 1)
        drawn_BOC, _ = self.attention(
            self.query_token.expand(len(images_B1HWD), -1, -1),
            features_BMC,
            features_BMC,
            attn_mask=hidden_BOM.repeat_interleave(self.heads, dim=0),
            need_weights=False,
        )
        weight_ODC = self.image_projection.weight.view(self.organs, -1, drawn_BOC.shape[2])
        bias_OD = self.image_projection.bias.view(self.organs, -1)
        return F.normalize(at_least_float32(torch.einsum("boc,odc->bod", drawn_BOC, weight_ODC) + bias_OD), dim=2)

    def text_vectors(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """(B, dim) of length 1, float32 or wider, of the [CLS] states."""
        states_BTC = self.text_encoder(ids_BT, attended_BT)
        return F.normalize(at_least_float32(self.text_projection(states_BTC[:, 0])), dim=-1)

    def divisor(self, least: float, most: float) -> Tensor:
        """(1,) what cosines are divided by, between two bounds, from beyond which it can be learned back."""
        return limited(at_least_float32(self.temperature), least=least, most=most)


def levels_of(depth: int, levels: tuple[int, ...]) -> tuple[int, ...]:
    """The blocks, counted from 1, that lie as deep in an encoder as `levels` do in one of 12 blocks; each once."""
    return tuple(sorted({max(1, math.floor(level * depth / _REFERENCE_DEPTH + 0.5)) for level in levels}))
