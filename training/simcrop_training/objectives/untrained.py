"""The encoder as it begins: the row that every method has to beat (docs/methods/random.md)."""

from __future__ import annotations

import dataclasses

from torch import nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.pairs import PairData, PairObjective, PairSettings


class EncoderAlone(nn.Module):
    """Nothing but the shared image encoder."""

    def __init__(self, config: PretrainingConfig) -> None:
        super().__init__()
        self.vision = VisionTransformer(config.vision)


class Random(PairObjective):
    """The objective `random`: nothing is learned; arguments as those of `PairObjective`."""

    def network_of(self, _bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        return EncoderAlone(self.config)


class RandomZeroPos(Random):
    """The objective `random_zero_pos`: without positions, as the released linear probe has them for its random row."""

    def __init__(self, config: PretrainingConfig, data: PairData, settings: PairSettings, seed: int) -> None:
        vision = dataclasses.replace(config.vision, positions="checkpoint")
        super().__init__(dataclasses.replace(config, vision=vision), data, settings, seed)
