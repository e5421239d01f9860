"""Masked record modelling: hidden patches, and hidden words filled in from the mean of the visible patches.

Source: Zhou et al. 2023, on the shared encoder (docs/methods/mrm.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import masked_report_loss
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.report_decoder import ReportDecoder
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.mae3d import Mae3d, MaskedAutoencoder
from simcrop_training.objectives.pairs import Pairs


class MaskedRecord(MaskedAutoencoder):
    """A masked autoencoder, word embeddings that begin as the text encoder's, and BERT layers over their sum.

    The report is filled in from its own visible words and one vector of the image alone, added to every word.
    """

    def __init__(self, config: PretrainingConfig, bert: Bert) -> None:
        super().__init__(config)
        self.words = nn.Parameter(bert.words.detach().clone())
        self.positions = nn.Parameter(bert.positions.detach().clone())
        self.word_norm = nn.LayerNorm(bert.config.dim, eps=bert.config.norm_eps)
        self.image_projection = nn.Linear(config.vision.dim, bert.config.dim)
        self.text_decoder = ReportDecoder(bert.config.dim, config.report_decoder)

    def word_scores(self, visible_BKC: Tensor, report_BT: Tensor, attended_BT: Tensor, labels_BT: Tensor) -> Tensor:
        """Scores of the pieces that are asked for, in order."""
        words_BTC = self.words[report_BT] + self.positions[: report_BT.shape[1]]
        image_B1C = self.image_projection(visible_BKC.mean(dim=1, keepdim=True))
        states_BTC = self.text_decoder(self.word_norm(words_BTC) + image_B1C, ~attended_BT)
        scores: Tensor = self.text_decoder.head(states_BTC[labels_BT != NOT_A_TARGET])
        return scores


class Mrm(Mae3d):
    """The objective `mrm`; arguments as those of `PairObjective`."""

    weights: Mapping[str, float] = MappingProxyType({"image": 1.0, "report": 1.0})

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        return MaskedRecord(self.config, bert)

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """Those of `mae3d`, and the word pieces to fill in."""
        return {**super().counts(batch), "report": int((batch.labels_BT != NOT_A_TARGET).sum())}

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """The sums of both losses, from one pass of the image encoder."""
        network = self.module
        assert isinstance(network, MaskedRecord)
        images_B1HWD = self.frames(batch)
        tokens_BKC = network.vision(images_B1HWD, batch.keep_BK)
        visible_BKC = tokens_BKC[:, int(self.config.vision.cls_token) :]
        scores = network.word_scores(visible_BKC, batch.report_BT, batch.attended_BT, batch.labels_BT)
        report = masked_report_loss(scores, batch.labels_BT[batch.labels_BT != NOT_A_TARGET])
        return {**self.image_totals(images_B1HWD, tokens_BKC, batch), "report": report.total}
