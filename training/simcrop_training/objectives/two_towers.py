"""An image encoder beside a text encoder, and the contrast of whole scans with whole reports."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import at_least_float32
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.limits import limited

ScaleRule = Literal["exp", "raw"]


class TwoTowers(nn.Module):
    """The shared image encoder, a trained text encoder, a linear map of each into one space, and a learned scale.

    Args:
        config: of the image encoder.
        bert: the text encoder, which learns.
        dim: of the common space.
        pool: patches' mean, or the class token.
        scale: at the start.
        rule: whether the stored number is the scale's logarithm or the scale itself.
    """

    def __init__(
        self,
        config: PretrainingConfig,
        bert: Bert,
        *,
        dim: int,
        pool: Literal["mean", "cls"],
        scale: float,
        rule: ScaleRule,
    ) -> None:
        super().__init__()
        self.pool, self.rule = pool, rule
        self.vision = VisionTransformer(config.vision)
        self.text_encoder = bert.requires_grad_(True)
        self.image_projection = nn.Linear(config.vision.dim, dim, bias=False)
        self.text_projection = nn.Linear(bert.config.dim, dim, bias=False)
        stored = torch.tensor([scale])
        self.scale = nn.Parameter(stored.log() if rule == "exp" else stored)

    def image_vectors(self, images_B1HWD: Tensor) -> Tensor:
        """(B, dim) of length 1, float32 or wider."""
        return self.vectors_of(self.vision(images_B1HWD))

    def vectors_of(self, tokens_BNC: Tensor) -> Tensor:
        """The same from encoded frames, class token and all patches."""
        first = int(self.vision.config.cls_token)
        pooled_BC = tokens_BNC[:, 0] if self.pool == "cls" else tokens_BNC[:, first:].mean(dim=1)
        return F.normalize(at_least_float32(self.image_projection(pooled_BC)), dim=-1)

    def text_vectors(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """(B, dim) of length 1, float32 or wider, of the [CLS] states."""
        states_BTC = self.text_encoder(ids_BT, attended_BT)
        return F.normalize(at_least_float32(self.text_projection(states_BTC[:, 0])), dim=-1)

    def multiplier(self, largest: float) -> Tensor:
        """(1,) what cosines are multiplied by, at most `largest`; a scale above it can be learned down (`limited`)."""
        scale = self.scale.exp() if self.rule == "exp" else self.scale
        return limited(at_least_float32(scale), most=largest)


def same_text(reports_B: Tensor) -> Tensor:
    """(B, B) target shares: a scan belongs to its own report and to every report of the same words."""
    same_BB = (reports_B[:, None] == reports_B[None]).double()
    return same_BB / same_BB.sum(dim=1, keepdim=True)


def symmetric_contrast(logits_BB: Tensor, target_BB: Tensor) -> Tensor:
    """Half the sum of the cross-entropies of rows and of columns, with shares as targets.

    Args:
        logits_BB: scaled similarities of scan i with text j.
        target_BB: rows sum to 1, and the shares that text j gives to scans are row j: its support is symmetric.
    """
    target_BB = target_BB.to(logits_BB.dtype)
    rows = -(target_BB * logits_BB.log_softmax(dim=1)).sum(dim=1).mean()
    columns = -(target_BB * logits_BB.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (rows + columns) / 2
