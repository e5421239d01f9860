"""CT-CLIP on the shared encoder: whole scans against whole reports of a step (docs/methods/ctclip.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.text.bert import Bert
from simcrop_training.data.source import Pair
from simcrop_training.engine.objective import Rows
from simcrop_training.objectives.pairs import PairData, PairObjective, Pairs, PairSettings
from simcrop_training.objectives.two_towers import ScaleRule, TwoTowers, same_text, symmetric_contrast


@dataclass(frozen=True, slots=True)
class CtClipSettings(PairSettings):
    """Attributes of the objective.

    Attributes:
        dim: of the space in which scans and reports meet.
        pool: what stands for a scan: the mean of its patches, or the class token.
        scale: of the cosines, at the start.
        scale_rule: whether its logarithm is learned, or the number itself.
        largest_scale: no larger one is used.
        soft_same_text: scans whose reports are the same words do not repel each other; two reconstructions of a study
            have one report.
        sections: of a report that are read; CT-CLIP's released code reads the findings alone.
    """

    dim: int = 512
    pool: Literal["mean", "cls"] = "mean"
    scale: float = 1 / 0.07
    scale_rule: ScaleRule = "exp"
    largest_scale: float = 100.0
    soft_same_text: bool = True
    sections: Literal["findings and impression", "findings"] = "findings and impression"


class CtClip(PairObjective):
    """The objectives `ctclip` and `m3d_shared`; a `Contrast` over all frames of a step."""

    weights: Mapping[str, float] = MappingProxyType({"contrast": 1.0})

    def __init__(self, config: PretrainingConfig, data: PairData, settings: CtClipSettings, seed: int) -> None:
        self.settings = settings
        super().__init__(config, data, settings, seed)

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        s = self.settings
        return TwoTowers(self.config, bert, dim=s.dim, pool=s.pool, scale=s.scale, rule=s.scale_rule)

    @property
    def network(self) -> TwoTowers:
        """What is trained."""
        assert isinstance(self.module, TwoTowers)
        return self.module

    def side_by_side(self, pairs: Sequence[Pair], ordinals: range) -> Pairs:
        """See `PairObjective`; reports that are the same in the sections that are read count as the same."""
        if self.settings.sections == "findings":
            pairs = [dataclasses.replace(pair, impression="") for pair in pairs]
        return super().side_by_side(pairs, ordinals)

    def rows(self, batch: Pairs, /) -> Rows:
        """Vectors of scans and reports, which reports are the same, and the scale."""
        network = self.network
        return {
            "image": network.image_vectors(self.frames(batch)),
            "text": network.text_vectors(batch.words_BT, batch.attended_BT),
            "report": batch.reports_B,
            "scale": network.multiplier(self.settings.largest_scale),
        }

    def totals_and_rows(self, batch: Pairs, /) -> tuple[dict[str, Tensor], Rows]:
        """See `Contrast`."""
        return {}, self.rows(batch)

    def compared(self, rows: Sequence[Rows], /) -> dict[str, Tensor]:
        """The symmetric cross-entropy over all frames of the step."""
        image_BC, text_BC, reports_B = (torch.cat([r[name] for r in rows]) for name in ("image", "text", "report"))
        scale = torch.cat([r["scale"] for r in rows]).mean()
        own_B = reports_B if self.settings.soft_same_text else torch.arange(len(reports_B), device=reports_B.device)
        return {"contrast": symmetric_contrast(scale * image_BC @ text_BC.T, same_text(own_B))}

    def image_vectors(self, images_B1HWD: Tensor) -> Tensor:
        """(B, C) of length 1, for zero-shot (`evaluate.zero_shot`)."""
        return self.network.image_vectors(images_B1HWD)

    def text_vectors(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """(B, C) of length 1."""
        return self.network.text_vectors(ids_BT, attended_BT)

    def similarity_scale(self) -> float:
        """What cosines of a scan with texts are multiplied by."""
        return float(self.network.multiplier(self.settings.largest_scale).detach())


@dataclass(frozen=True, slots=True)
class M3dSharedSettings(CtClipSettings):
    """M3D-CLIP's choices: class token, 768 dimensions, and its scale, the logarithm of 1/0.07 used without exp."""

    dim: int = 768
    pool: Literal["mean", "cls"] = "cls"
    scale: float = 2.659
    scale_rule: ScaleRule = "raw"
