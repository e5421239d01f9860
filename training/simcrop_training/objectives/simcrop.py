"""SimCroP's own pre-training: masked image, sentence alignment and masked report (paper Eq. 1 to 6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.losses import distinct
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP
from simcrop_core.text.bert import Bert
from simcrop_training.engine.objective import View
from simcrop_training.objectives.pairs import PairData, PairObjective, Pairs, PairSettings
from simcrop_training.objectives.regions import measured_regions
from simcrop_training.objectives.simcrop_cost import sample_flops
from simcrop_training.objectives.simcrop_view import view_of


class TokenStates(nn.Module):
    """The project's BERT behind the call that the pre-training network makes."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """(B, T) ids and mask → an object with `last_hidden_state`, (B, T, C)."""
        return SimpleNamespace(last_hidden_state=self.bert(input_ids, attention_mask))


class SimCroPPretraining(PairObjective):
    """The objective `simcrop`; arguments as those of `PairObjective`."""

    def __init__(self, config: PretrainingConfig, data: PairData, settings: PairSettings, seed: int) -> None:
        super().__init__(config, data, settings, seed)
        self.sample_flops = sample_flops(config, settings.report_tokens)
        self.weights: Mapping[str, float] = {"image": 1.0}
        if config.use_align:
            self.weights = {**self.weights, "alignment": config.align_weight}
        if config.use_report:
            self.weights = {**self.weights, "report": config.report_weight}

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        network = SimCroP(self.config, TokenStates(bert))
        if not self.config.use_align:
            # No loss reaches them, and ranks would wait for their gradients.
            network.text_projection.requires_grad_(False)
            network.image_projection.requires_grad_(False)
        return network

    @property
    def network(self) -> SimCroP:
        """What is trained; the loop may put a copy in its place while it measures."""
        assert isinstance(self.module, SimCroP)
        return self.module

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """Patches, reports with two distinct sentences or more, and word pieces to fill in."""
        patches = self.config.vision.tokens
        if self.config.mim_on == "masked":
            patches -= batch.keep_BK.shape[1]
        counts = {"image": len(batch.keep_BK) * patches}
        if self.config.use_align:
            distinct_BS = distinct(batch.identities_BS)
            if self.config.negatives == "report":
                counts["alignment"] = int((distinct_BS.sum(dim=1) >= 2).sum())
            else:
                total = int(distinct_BS.sum())
                counts["alignment"] = total if total >= 2 else 0
        if self.config.use_report:
            counts["report"] = int((batch.labels_BT != NOT_A_TARGET).sum())
        return counts

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """The sums of the losses, by the paper's names: masked image, alignment, masked report."""
        return {name: loss.total for name, loss in self.network(self.shown(batch)).items()}

    def measure(self) -> dict[str, float]:
        """On held-out samples hits, sides and separation with all patches visible; on held-out scans the losses."""
        data = self.data
        regions = measured_regions(self.grounding_model(), data.frame, data.held_out, data.embeddings)
        return {**regions, **super().measure()}

    def view(self) -> View | None:
        """One frame as it is seen and filled in, the patches of one sentence, and how alike regions are."""
        source = self.data.validation or self.data.source
        size = min(self._settings.micro_batch, source.pairs)
        return view_of(self.network, self.shown(self.placed(self.assembled(source, range(size)))))

    def grounding_model(self) -> GroundingModel:
        """What was learned, as the network behind `ground`."""
        return self.network.grounding_model(self.data.frame, self.data.top_k)

    def shown(self, batch: Pairs) -> PretrainingBatch:
        """A micro-batch as the network wants it."""
        images_B1HWD = self.frames(batch)
        return PretrainingBatch(
            images_B1HWD,
            batch.keep_BK,
            batch.sentences_BSC.to(images_B1HWD.dtype),
            batch.identities_BS,
            batch.report_BT,
            batch.attended_BT,
            batch.labels_BT,
        )
