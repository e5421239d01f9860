"""SimCroP's pre-training: masked image, sentence-to-region alignment and masked report in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import ModelConfig, PretrainingConfig
from simcrop_core.models.fusion import Fusion, fusion_for
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.image_decoder import ImageDecoder
from simcrop_core.models.losses import (
    LossSum,
    alignment_loss,
    at_least_float32,
    masked_image_loss,
    masked_report_loss,
    standardised,
)
from simcrop_core.models.masking import NOT_A_TARGET, masked_patches
from simcrop_core.models.patches import patch_vectors
from simcrop_core.models.projection import image_projection, text_projection, with_mean_taken_off
from simcrop_core.models.regions import mean_of, similarity, softmax_mean, top_patches
from simcrop_core.models.report_decoder import ReportDecoder
from simcrop_core.models.state import load_exactly
from simcrop_core.models.vit import VisionTransformer

# Parts whose keys stand at the root of a weights file, and parts whose names it keeps.
_AT_ROOT = ("vision.", "image_decoder.")


@dataclass(frozen=True, slots=True)
class PretrainingBatch:
    """One step's data; every random choice has been made.

    Attributes:
        images_B1HWD: frames, −1…1.
        keep_BK: indices of the visible patches (`masking.keep_indices`).
        sentences_BSC: embeddings of the report's sentences, padded.
        identities_BS: one number a sentence, the same for the same text; negative for padding.
        report_BT: masked word pieces (`masking.mask_report`).
        attended_BT: true where there is a word piece, false for padding.
        labels_BT: the pieces to fill in, −100 elsewhere.
    """

    images_B1HWD: Tensor
    keep_BK: Tensor
    sentences_BSC: Tensor
    identities_BS: Tensor
    report_BT: Tensor
    attended_BT: Tensor
    labels_BT: Tensor


class SimCroP(nn.Module):
    """The paper's pre-training network, with every ambiguity as a switch (docs/methods/simcrop.md).

    Args:
        config: widths and switches.
        text_encoder: called with `input_ids` and `attention_mask`, gives an object whose `last_hidden_state` is
            (B, T, report_dim), as Hugging Face encoders do.
        text_mean: (C,) mean sentence embedding of the corpus, with `config.centre_text`.
    """

    text_mean: Tensor

    def __init__(self, config: PretrainingConfig, text_encoder: nn.Module, text_mean: Tensor | None = None) -> None:
        super().__init__()
        if config.centre_text != (text_mean is not None):
            raise ValueError("A corpus mean of the sentence embeddings goes with centre_text, and only with it.")
        self.config = config
        self.vision = VisionTransformer(config.vision)
        self.image_decoder = ImageDecoder(config.vision, config.image_decoder)
        self.text_projection = text_projection(
            config.projection,
            text_dim=config.text.dim,
            vision_dim=config.vision.dim,
            shared_dim=config.projection_dim,
        )
        self.image_projection = image_projection(
            config.projection, vision_dim=config.vision.dim, shared_dim=config.projection_dim
        )
        if text_mean is not None:
            self.register_buffer("text_mean", text_mean.detach().clone())
        if config.use_report:
            self.fusion = fusion_for(config)
            self.text_decoder = ReportDecoder(config.report_dim, config.report_decoder)
        self.bert_encoder = text_encoder
        self.bert_encoder.requires_grad_(not config.freeze_text)
        self.train()

    def train(self, mode: bool = True) -> SimCroP:
        """Train or evaluate; a frozen text encoder always evaluates, without dropout."""
        super().train(mode)
        if self.config.freeze_text:
            self.bert_encoder.eval()
        return self

    def forward(self, batch: PretrainingBatch) -> dict[str, LossSum]:
        """One step's losses, by name: "image", and as switched on "alignment" and "report"."""
        tokens = self.vision(batch.images_B1HWD, batch.keep_BK)
        visible_BKC = tokens[:, int(self.config.vision.cls_token) :]
        losses = {"image": self.image_loss(tokens, batch)}
        if self.config.use_align:
            every = self.config.align_on == "all"
            patches_BNC = self.vision.patch_features(batch.images_B1HWD) if every else visible_BKC
            losses["alignment"] = self.alignment_loss(patches_BNC, batch)
        if self.config.use_report:
            losses["report"] = self.report_loss(visible_BKC, batch)
        return losses

    def combined(self, losses: Mapping[str, LossSum], counts: Mapping[str, Tensor] | None = None) -> Tensor:
        """The weighted sum of the losses' means: L_image + λ1 L_alignment + λ2 L_report.

        Args:
            losses: from `forward`.
            counts: what to divide by instead, such as the counts of all ranks together.
        """
        weights = {"image": 1.0, "alignment": self.config.align_weight, "report": self.config.report_weight}
        count = {name: loss.count for name, loss in losses.items()} if counts is None else counts
        terms = [weights[name] * loss.total / count[name].clamp(min=1) for name, loss in losses.items()]
        return torch.stack(terms).sum()

    def image_loss(self, tokens_BKC: Tensor, batch: PretrainingBatch) -> LossSum:
        """How well hidden patches are filled in (paper Eq. 1)."""
        predicted_BNP = self.image_decoder(tokens_BKC, batch.keep_BK)
        target_BNP = at_least_float32(patch_vectors(batch.images_B1HWD, self.config.vision.patch))
        if self.config.norm_pix:
            target_BNP = standardised(target_BNP, self.config.norm_pix_floor)
        masked_BN = masked_patches(batch.keep_BK, target_BNP.shape[1])
        return masked_image_loss(predicted_BNP, target_BNP, masked_BN, self.config.mim_on)

    def alignment_loss(self, patches_BNC: Tensor, batch: PretrainingBatch) -> LossSum:
        """How well sentences tell their own regions apart (paper Eq. 2 to 4)."""
        c = self.config
        sentences_BSC = batch.sentences_BSC
        if c.centre_text:
            sentences_BSC = sentences_BSC - self.text_mean
        sentences_BSC = self.text_projection(sentences_BSC)
        patches_BNC = self.image_projection(patches_BNC)
        similarity_BSN = similarity(sentences_BSC, patches_BNC, normalise=c.normalise)
        if c.pooled_by == "mean":
            regions_BSC = mean_of(patches_BNC, top_patches(similarity_BSN, c.top_k))
        else:
            regions_BSC = softmax_mean(patches_BNC, similarity_BSN, c.temperature)
        return alignment_loss(
            regions_BSC,
            sentences_BSC,
            batch.identities_BS,
            temperature=c.temperature,
            normalise=c.normalise,
            negatives=c.negatives,
        )

    def report_loss(self, visible_BKC: Tensor, batch: PretrainingBatch) -> LossSum:
        """How well hidden words are filled in with the image's help (paper Eq. 5 and 6)."""
        report_BTC = self.encode_text(batch.report_BT, batch.attended_BT)
        padding_BT = ~batch.attended_BT
        if isinstance(self.fusion, Fusion):
            fused_BTC = self.fusion(report_BTC, visible_BKC)
        else:
            fused_BTC = self.fusion(report_BTC, visible_BKC, padding_BT)
        states_BTC = self.text_decoder(fused_BTC, padding_BT)
        asked_BT = batch.labels_BT != NOT_A_TARGET
        return masked_report_loss(self.text_decoder.head(states_BTC[asked_BT]), batch.labels_BT[asked_BT])

    def encode_text(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """The text encoder's token states, (B, T, report_dim); without gradient where it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_text):
            states_BTC: Tensor = self.bert_encoder(input_ids=ids_BT, attention_mask=attended_BT).last_hidden_state
        return states_BTC

    def embed_sentences(self, ids_ST: Tensor, attended_ST: Tensor) -> Tensor:
        """Sentence embeddings, (S, C): the [CLS] state, or the mean over word pieces (A9)."""
        states_STC = self.encode_text(ids_ST, attended_ST)
        if self.config.text.pooling == "cls":
            return states_STC[:, 0]
        weights_ST1 = attended_ST.unsqueeze(-1).to(states_STC.dtype)
        return (states_STC * weights_ST1).sum(dim=1) / weights_ST1.sum(dim=1)

    def grounding_model(self, frame: FrameConfig, top_k: int) -> GroundingModel:
        """What was learned, as the network behind `ground`: a copy of the encoder and the projections.

        Args:
            frame: what the encoder was shown of a scan.
            top_k: patches that make a sentence's region when all are visible.
        """
        c = self.config
        centred = c.centre_text
        text = with_mean_taken_off(self.text_projection, self.text_mean) if centred else self.text_projection
        config = ModelConfig(
            vision=c.vision,
            text=c.text,
            frame=frame,
            projection="linear" if centred and c.projection == "none" else c.projection,
            projection_dim=c.projection_dim,
            top_k=top_k,
        )
        model = GroundingModel(config)
        parts = {"vision": self.vision, "text_projection": text, "image_projection": self.image_projection}
        load_exactly(
            model, {f"{part}.{k}": t for part, module in parts.items() for k, t in module.state_dict().items()}
        )
        return model

    def flat_state_dict(self) -> dict[str, Tensor]:
        """The tensors by the names they have in a weights file; a frozen text encoder is not among them.

        The image encoder's and decoder's keys stand at the root; `fusion.*`, `text_decoder.*`, `text_projection.*`,
        `image_projection.*`, `text_mean` and `bert_encoder.*` beside them.
        """
        return {_flat(key): tensor for key, tensor in self._stored().items()}

    def load_flat_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take all tensors that `flat_state_dict` gives.

        Raises:
            IncompatibleWeights: a key is missing or unexpected, or a shape disagrees; nothing was taken.
        """
        own = {_flat(key): key for key in self.state_dict()}
        kept = set(self.state_dict()) - set(self._stored())
        load_exactly(self, {own.get(key, key): tensor for key, tensor in state.items()}, optional=kept)

    def _stored(self) -> dict[str, Tensor]:
        frozen = self.config.freeze_text
        return {k: t for k, t in self.state_dict().items() if not (frozen and k.startswith("bert_encoder."))}


def _flat(key: str) -> str:
    for prefix in _AT_ROOT:
        key = key.removeprefix(prefix)
    return key
