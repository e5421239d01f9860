"""M3AE on the shared encoder: masked words, masked patches, and which image a report is about (docs/methods/m3ae.md).

Source: Chen et al. 2022, "Multi-modal Masked Autoencoders for Medical Vision-and-Language Pre-training".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import at_least_float32, masked_report_loss
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.text.bert import Bert
from simcrop_training.data.source import Source, draws
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.objectives.m3ae_network import MultiModalAutoencoder
from simcrop_training.objectives.mae3d import Mae3d
from simcrop_training.objectives.pairs import PairData, Pairs, PairSettings, number_of

# What random numbers are for.
_FATES, _REPLACED, _PARTNER = 10, 11, 12
# Of the hidden words so many are shown as [MASK], and so many of the rest as another word (Devlin et al. 2019).
_AS_MASK, _AS_OTHER = 0.8, 0.1
# Scans drawn in search of one with another report.
_DRAWS = 16


@dataclass(frozen=True, slots=True)
class M3aeSettings(PairSettings):
    """Attributes of the objective.

    Attributes:
        co_layers: of co-attention, in each stream.
        read_before: layer, counted from 0, at whose entry the image decoder reads the image stream.
        image_tokens: of an unmasked image in co-attention: all, or the means of 2 × 2 × 2 patches, which bounds memory.
    """

    co_layers: int = 6
    read_before: int = 3
    image_tokens: Literal["full", "pooled"] = "full"

    def __post_init__(self) -> None:
        # Not super(): a dataclass with slots is another class than the one that super() would look for.
        PairSettings.__post_init__(self)
        if not 1 <= self.read_before <= self.co_layers:
            raise ValueError(f"The image cannot be read before layer {self.read_before} of {self.co_layers}, from 0.")


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPairs(Pairs):
    """A micro-batch in which some reports stand beside another study's image, too.

    Attributes:
        partners_RHWD: int16 HU, images of other studies, shaped as the own ones.
        replaced_R: rows of the micro-batch that see them.
    """

    partners_RHWD: Tensor
    replaced_R: Tensor


class M3ae(Mae3d):
    """The objective `m3ae`; arguments as those of `PairObjective`."""

    weights: Mapping[str, float] = MappingProxyType({"image": 1.0, "report": 1.0, "match": 1.0})

    def __init__(self, config: PretrainingConfig, data: PairData, settings: M3aeSettings, seed: int) -> None:
        if not config.vision.cls_token:
            raise UnusableRecipe(
                "M3AE tells by the class token whether image and report belong together, and the recipe has none.",
                hint="Leave cls_token as it is.",
            )
        self.settings = settings
        super().__init__(config, data, settings, seed)
        self.sample_bytes = data.source.pair_bytes * 3 // 2
        vocabulary = self.tokenizer.get_vocab()
        ordinary = [number for word, number in vocabulary.items() if not (word[0] == "[" and word[-1] == "]")]
        self._ordinary = np.sort(np.array(ordinary))

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        s = self.settings
        return MultiModalAutoencoder(
            self.config, bert, layers=s.co_layers, read_before=s.read_before, pooled=s.image_tokens == "pooled"
        )

    def assembled(self, source: Source, ordinals: range) -> MatchedPairs:
        """See `PairObjective`; with partners, and hidden words no longer all behind [MASK]."""
        pairs = super().assembled(source, ordinals)
        found = [
            self._partner(source, ordinal, int(report))
            for ordinal, report in zip(ordinals, pairs.reports_B, strict=True)
        ]
        partners = [torch.from_numpy(image) for image in found if image is not None]
        fields = {field.name: getattr(pairs, field.name) for field in dataclasses.fields(pairs)}
        return MatchedPairs(
            **{**fields, "report_BT": self._shown(pairs, ordinals)},
            partners_RHWD=torch.stack(partners) if partners else pairs.images_BHWD[:0],
            replaced_R=torch.tensor([b for b, image in enumerate(found) if image is not None], dtype=torch.long),
        )

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """Those of `mae3d`, the word pieces to fill in, and the frames whose image and report are matched."""
        frames = len(batch.images_BHWD)
        words = int((batch.labels_BT != NOT_A_TARGET).sum())
        return {**super().counts(batch), "report": words, "match": frames, "match_right": frames}

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """The sums of the three losses, from the method's three passes; `match_right` counts right answers.

        The passes share what is the same in them: an image encoded whole, and a report encoded whole.
        """
        network = self.module
        assert isinstance(network, MultiModalAutoencoder)
        assert isinstance(batch, MatchedPairs)
        frames, padding_BT, labels_BT = len(batch.images_BHWD), ~batch.attended_BT, batch.labels_BT
        all_images = torch.cat([batch.images_BHWD, batch.partners_RHWD])
        images_B1HWD = self.frames(dataclasses.replace(batch, images_BHWD=all_images))
        whole_BNC, partners_RNC = network.vision(images_B1HWD).tensor_split([frames])
        visible_BKC = network.vision(images_B1HWD[:frames], batch.keep_BK)
        ids = torch.cat([batch.report_BT, batch.words_BT])
        masked_BTC, words_BTC = network.text_encoder(ids, torch.cat([batch.attended_BT] * 2)).chunk(2)
        scores = network.word_scores(whole_BNC, masked_BTC, padding_BT, labels_BT)
        stored_BKC = network.stored(visible_BKC, words_BTC, padding_BT)
        shown_BNC = whole_BNC.index_copy(0, batch.replaced_R, partners_RNC)
        logits_B = at_least_float32(network.match_logits(shown_BNC, words_BTC, padding_BT))
        belongs_B = torch.ones_like(logits_B).index_fill(0, batch.replaced_R, 0.0)
        return {
            **self.image_totals(images_B1HWD[:frames], stored_BKC, batch),
            "report": masked_report_loss(scores, labels_BT[labels_BT != NOT_A_TARGET]).total,
            "match": F.binary_cross_entropy_with_logits(logits_B, belongs_B, reduction="sum"),
            "match_right": ((logits_B > 0) == (belongs_B > 0)).to(logits_B.dtype).sum(),
        }

    def _shown(self, pairs: Pairs, ordinals: range) -> Tensor:
        """(B, T) the report with 80 % of its hidden pieces behind [MASK], 10 % as another piece, 10 % as they are."""
        width = pairs.words_BT.shape[1]
        # Drawn for the longest report, so that what becomes of a piece does not depend on the others' lengths.
        longest = self.settings.report_tokens
        rngs = [draws(self.seed, ordinal, _FATES) for ordinal in ordinals]
        fate_BT = torch.from_numpy(np.stack([rng.random(longest)[:width] for rng in rngs]))
        other_BT = torch.from_numpy(np.stack([rng.choice(self._ordinary, longest)[:width] for rng in rngs]))
        hidden_BT = pairs.labels_BT != NOT_A_TARGET
        kept_BT = torch.where(hidden_BT & (fate_BT >= _AS_MASK), pairs.words_BT, pairs.report_BT)
        return torch.where(hidden_BT & (fate_BT >= 1 - _AS_OTHER), other_BT, kept_BT)

    def _partner(self, source: Source, ordinal: int, report: int) -> NDArray[np.int16] | None:
        """The image of another study for one of each two successive frames, drawn from the same epoch.

        Two studies whose reports are the same words count as one, since the report fits both. None where the frame
        keeps its own image, or where no draw finds another report.
        """
        if int(draws(self.seed, ordinal // 2, _REPLACED).integers(2)) != ordinal % 2:
            return None
        rng = draws(self.seed, ordinal, _PARTNER)
        epoch = ordinal // source.pairs
        for place in rng.integers(source.pairs, size=_DRAWS):
            other = source.pair(epoch * source.pairs + int(place))
            if number_of(other.findings + "\n" + other.impression) != report:
                return other.image
        return None
