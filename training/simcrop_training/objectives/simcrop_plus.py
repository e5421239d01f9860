"""`simcrop_plus`: SimCroP, and evidence that what a sentence says is in its own scan (docs/methods/simcrop_plus.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import distinct
from simcrop_core.models.simcrop import PretrainingBatch
from simcrop_core.text.bert import Bert
from simcrop_core.text.cache import CachedTextEncoder
from simcrop_core.text.encoder import load_text_encoder
from simcrop_training.data.source import Pair, draws, reports_in
from simcrop_training.engine.errors import NothingToLearnFrom, UnusableRecipe
from simcrop_training.engine.objective import Rows
from simcrop_training.objectives.pairs import PairData, Pairs, PairSettings
from simcrop_training.objectives.plus_batch import (
    NONE,
    PlusPairs,
    SentenceWeights,
    claims_of,
    places_in,
    rivals_in,
)
from simcrop_training.objectives.plus_losses import aligned, between_studies, cosines, scores, selected, unit
from simcrop_training.objectives.plus_network import InstanceHeads, SimCroPPlusNetwork
from simcrop_training.objectives.simcrop import SimCroPPretraining, TokenStates
from simcrop_training.objectives.two_towers import same_text, symmetric_contrast

_CHOSEN_RIVALS, _CHOSEN_PLACES = 10, 11
_RIVALS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class SimCroPPlusSettings(PairSettings):
    """What is added to SimCroP, each part with its own switch.

    Attributes:
        across: weight of the contrast of a sentence's score on its own study with its scores on others; 0 for none.
        instance: weight of the contrast of whole scans with whole reports; 0 for none.
        boilerplate: sentences weigh 1 / (reports they stand in) to this power; 0 weighs all alike.
        hard_negatives: at most so many sentences a report that are not true of it, made by rules; 0 for none.
        supervision: weight of the terms on sentences whose place is known; 0 for none.
        label_aware: whether sentences with a topic in common do not repel; otherwise only identical ones do not.
        softness: of the selection of patches at the start, in units of cosines; 0 selects the K nearest.
        warm_up: steps in which it falls to 0; three quarters of a run is a good share.
        features_first: steps before anything that selects patches is learned.
        instance_dim: of the space of whole scans and reports.
        instance_pool: what stands for a scan: the mean of its patches, or a mean weighted by a learned query.
        instance_text: what stands for a report: the mean of its sentences' embeddings by their weights, or the
            embedding of its words in one piece.
        places: at most so many sentences of a frame whose place is known, and as many that are nowhere.
    """

    across: float = 1.0
    instance: float = 1.0
    boilerplate: float = 0.5
    hard_negatives: int = 8
    supervision: float = 0.0
    label_aware: bool = True
    softness: float = 0.3
    warm_up: int = 400
    features_first: int = 0
    instance_dim: int = 512
    instance_pool: Literal["mean", "attention"] = "mean"
    instance_text: Literal["sentences", "report"] = "sentences"
    places: int = 12


class SimCroPPlus(SimCroPPretraining):
    """The objective `simcrop_plus`; a `Contrast` over all frames of a step.

    Args:
        config: of the network.
        data: to learn from and to measure on.
        settings: of the method.
        seed: of initialisation and masks.

    Raises:
        UnusableRecipe: the network is to compare otherwise than by cosines.
        NothingToLearnFrom: places are to be supervised and the source knows none.
    """

    def __init__(self, config: PretrainingConfig, data: PairData, settings: SimCroPPlusSettings, seed: int) -> None:
        self.settings = settings
        if not config.normalise or config.negatives != "report" or config.pooled_by != "mean":
            raise UnusableRecipe(
                "simcrop_plus compares cosines, within a report by the mean of selected patches.",
                hint="Leave out model.normalise, model.negatives and model.pooled_by.",
            )
        super().__init__(config, data, settings, seed)
        added = {"across": settings.across, "instance": settings.instance, "supervision": settings.supervision}
        self.weights: Mapping[str, float] = {**self.weights, **{name: w for name, w in added.items() if w}}
        if settings.supervision:
            self.weights = {**self.weights, "nowhere": settings.supervision / 2}
        if settings.supervision and data.source.pairs and not data.source.pair(0).truths:
            raise NothingToLearnFrom(
                "Supervision of places needs scans with masks, and these have none.",
                hint="Give folders of stored samples (--synthetic, --held-out), or set method.supervision to 0.",
            )
        self._sentence_weights = SentenceWeights(reports_in(data.source), settings.boilerplate)
        tower = load_text_encoder(config.text) if settings.hard_negatives else None
        self._tower = tower and CachedTextEncoder(tower, capacity=_RIVALS_KEPT)

    def network_of(self, bert: Bert, /) -> nn.Module:
        """See `PairObjective`."""
        s = self.settings
        network = SimCroPPlusNetwork(
            self.config,
            TokenStates(bert),
            instance_dim=s.instance_dim if s.instance else 0,
            attends=s.instance_pool == "attention",
            supervised=s.supervision > 0,
        )
        if not (self.config.use_align or s.across or s.supervision):
            network.text_projection.requires_grad_(False)
            network.image_projection.requires_grad_(False)
        return network

    @property
    def network(self) -> SimCroPPlusNetwork:
        """What is trained; the loop may put a copy in its place while it measures."""
        assert isinstance(self.module, SimCroPPlusNetwork)
        return self.module

    def batch(self, index: int) -> PlusPairs:
        """One micro-batch, selected from as softly as its step wants; what is only measured is selected from hard."""
        batch, step, s = super().batch(index), index // self.micro_batches, self.settings
        assert isinstance(batch, PlusPairs)
        softness = s.softness * max(1 - step / s.warm_up, 0.0) if s.warm_up else 0.0
        return dataclasses.replace(batch, softness=softness, selecting=float(step >= s.features_first))

    def side_by_side(self, pairs: Sequence[Pair], ordinals: range) -> PlusPairs:
        """See `PairObjective`; with claims, rivals and places."""
        s, text = self.settings, self.config.text.dim
        shared = super().side_by_side(pairs, ordinals)
        chosen = [self._chosen(pair, ordinal) for pair, ordinal in zip(pairs, ordinals, strict=True)]
        width = shared.sentences_BSC.shape[1]
        claims = claims_of(pairs, chosen, width, self._sentence_weights, label_aware=s.label_aware)
        of_rivals, of_places = (
            [draws(self.seed, ordinal, purpose) for ordinal in ordinals] for purpose in (_CHOSEN_RIVALS, _CHOSEN_PLACES)
        )
        most = s.places if s.supervision else 0
        grid = self.config.vision.grid
        return PlusPairs(
            **{f.name: getattr(shared, f.name) for f in dataclasses.fields(shared)},
            claims=claims,
            rivals=rivals_in(pairs, chosen, claims, self._embedded, s.hard_negatives, of_rivals, text),
            places=places_in(pairs, shared.keep_BK, grid, self.data.embeddings, most, of_places, text),
            softness=0.0,
            selecting=1.0,
        )

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """As SimCroP's; and sentences that point somewhere and nowhere."""
        assert isinstance(batch, PlusPairs)
        counts = super().counts(batch)
        if self.config.use_align:
            counts["alignment"] = int((distinct(batch.identities_BS).sum(dim=1) >= 2).sum())
        if self.settings.supervision:
            counts |= {"supervision": len(batch.places.pointing_P), "nowhere": len(batch.places.nowhere_Q)}
        return counts

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """See `Objective`."""
        return self.totals_and_rows(batch)[0]

    def totals_and_rows(self, batch: Pairs, /) -> tuple[dict[str, Tensor], Rows]:
        """The sums of the losses of each frame on its own, and what of it is compared."""
        assert isinstance(batch, PlusPairs)
        network, shown = self.network, self.shown(batch)
        tokens_BKC, patches_BNC = self._encoded(shown)
        totals, rows = self._grounded(batch, shown, tokens_BKC, patches_BNC)
        totals["image"] = network.image_loss(tokens_BKC, shown).total
        if self.config.use_report:
            totals["report"] = network.report_loss(self._visible(tokens_BKC), shown).total
        return totals, rows

    def rows(self, batch: Pairs, /) -> Rows:
        """What is compared: patches, sentences that assert something with their claims, scores of rivals, vectors."""
        assert isinstance(batch, PlusPairs)
        shown = self.shown(batch)
        return self._grounded(batch, shown, *self._encoded(shown))[1]

    def compared(self, rows: Sequence[Rows], /) -> dict[str, Tensor]:
        """The contrasts over all frames of the step."""
        losses: dict[str, Tensor] = {}
        if self.settings.across:
            losses["across"] = between_studies(rows, self.config.top_k, self.config.temperature)
        if self.settings.instance:
            image_BC, text_BC, findings_B = (torch.cat([r[n] for r in rows]) for n in ("image", "text", "findings"))
            scale = torch.cat([r["scale"] for r in rows]).mean()
            losses["instance"] = symmetric_contrast(scale * image_BC @ text_BC.T, same_text(findings_B))
        return losses

    def image_vectors(self, images_B1HWD: Tensor) -> Tensor:
        """(B, C) of length 1, all patches visible, for zero-shot and retrieval.

        Raises:
            UnusableRecipe: the method was trained without its contrast of whole scans.
        """
        return self._instance.image_vectors(self.network.vision.patch_features(images_B1HWD))

    def text_vectors(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """(B, C) of length 1, of prompts or reports.

        Raises:
            UnusableRecipe: see `image_vectors`.
        """
        return self._instance.text_vectors(self.network.embed_sentences(ids_BT, attended_BT))

    def similarity_scale(self) -> float:
        """What cosines of a scan with texts are multiplied by.

        Raises:
            UnusableRecipe: see `image_vectors`.
        """
        return float(self._instance.scale().detach())

    @property
    def _instance(self) -> InstanceHeads:
        heads = self.network.instance
        if heads is None:
            raise UnusableRecipe(
                "Without its contrast of whole scans and reports simcrop_plus has no vectors of them.",
                hint="Train with method.instance above 0.",
            )
        return heads

    def _encoded(self, shown: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """The tokens of the visible patches, and the patches that sentences choose from, in the sentences' space."""
        network = self.network
        tokens_BKC = network.vision(shown.images_B1HWD, shown.keep_BK)
        every = self.config.align_on == "all"
        patches_BNC = network.vision.patch_features(shown.images_B1HWD) if every else self._visible(tokens_BKC)
        return tokens_BKC, network.image_projection(patches_BNC)

    def _visible(self, tokens_BKC: Tensor) -> Tensor:
        return tokens_BKC[:, int(self.config.vision.cls_token) :]

    def _grounded(
        self, batch: PlusPairs, shown: PretrainingBatch, tokens_BKC: Tensor, patches_BNC: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The totals that sentences have part in, and the rows."""
        network, config, claims, rivals = self.network, self.config, batch.claims, batch.rivals
        sentences_BSC = network.text_projection(shown.sentences_BSC)
        rivals_BRC = network.text_projection(rivals.embeddings_BRC.to(shown.sentences_BSC.dtype))
        totals: dict[str, Tensor] = {}
        if config.use_align:
            shares_BSN = selected(cosines(sentences_BSC, patches_BNC), config.top_k, batch.softness)
            totals["alignment"] = batch.selecting * aligned(
                shares_BSN.to(patches_BNC.dtype) @ patches_BNC, sentences_BSC, rivals_BRC,
                distinct_BS=distinct(batch.identities_BS), repels_BSS=claims.repels_BSS, rivals_BR=rivals.there_BR,
                weights_BS=claims.weights_BS, temperature=config.temperature,
            ).sum()  # fmt: skip
        if self.settings.supervision:
            totals |= network.place_losses(batch.places, network.image_projection(self._visible(tokens_BKC)))
        rows: dict[str, Tensor] = {"reports": batch.reports_B}
        if self.settings.across:
            rival_BR = scores(cosines(rivals_BRC, patches_BNC), config.top_k, batch.softness)
            unit_BNC = unit(patches_BNC)
            rows |= {
                "patches": unit_BNC,
                "sentences": unit(sentences_BSC.flatten(0, 1)[claims.asserted_F]),
                "sentence_weights": claims.weights_BS.flatten()[claims.asserted_F],
                "owners": claims.asserted_F // claims.weights_BS.shape[1],
                "claims": claims.claims_F3,
                "said": claims.said_M3,
                "studies": claims.study_M,
                "rival_scores": rival_BR.flatten()[rivals.of_F2.clamp(min=0)],
                "rivals_there": rivals.of_F2 != NONE,
                "softness": unit_BNC.new_tensor([batch.softness, batch.selecting]),
            }
        if network.instance is not None:
            visible_BKC = self._visible(tokens_BKC)
            rows |= {
                "image": network.instance.image_vectors(visible_BKC),
                "text": network.instance.text_vectors(self._report_embeddings(batch, shown)),
                "scale": network.instance.scale(),
                "findings": claims.findings_B,
            }
        return totals, rows

    def _report_embeddings(self, batch: PlusPairs, shown: PretrainingBatch) -> Tensor:
        """(B, text width) what stands for each report."""
        if self.settings.instance_text == "report":
            return self.network.embed_sentences(batch.words_BT, batch.attended_BT)
        weights_BS = (batch.claims.weights_BS * distinct(batch.identities_BS)).to(shown.sentences_BSC.dtype)
        summed_BC = (weights_BS.unsqueeze(1) @ shown.sentences_BSC)[:, 0]
        return summed_BC / weights_BS.sum(dim=1, keepdim=True).clamp(min=1e-6)

    def _embedded(self, text: str) -> Tensor:
        # One at a time: an embedding does not depend, not even by rounding, on what else was new.
        assert self._tower is not None
        return self._tower.encode([text])[0]
