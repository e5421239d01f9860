"""SimCroP's network with what `simcrop_plus` adds: vectors of whole scans and reports, and logits of places."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import at_least_float32
from simcrop_core.models.simcrop import SimCroP
from simcrop_training.objectives.grounding_losses import balanced, nowhere, where
from simcrop_training.objectives.limits import limited
from simcrop_training.objectives.plus_batch import Places
from simcrop_training.objectives.plus_losses import cosines, unit

_LARGEST_SCALE = 100.0


class InstanceHeads(nn.Module):
    """Whole scans and reports in one space.

    Args:
        vision_dim: of patch features.
        text_dim: of sentence embeddings.
        dim: of the space.
        attends: whether patches are pooled by a learned query, which begins as their mean, or by their mean.
    """

    def __init__(self, vision_dim: int, text_dim: int, dim: int, *, attends: bool) -> None:
        super().__init__()
        self.image = nn.Linear(vision_dim, dim)
        self.text = nn.Linear(text_dim, dim)
        self.query = nn.Parameter(torch.zeros(vision_dim)) if attends else None
        self.log_scale = nn.Parameter(torch.tensor([math.log(1 / 0.07)]))

    def image_vectors(self, patches_BNC: Tensor) -> Tensor:
        """(B, dim) of length 1."""
        if self.query is None:
            return unit(self.image(patches_BNC.mean(dim=1)))
        weights_BN = (patches_BNC @ self.query / patches_BNC.shape[-1] ** 0.5).softmax(dim=1)
        return unit(self.image((weights_BN.unsqueeze(1) @ patches_BNC)[:, 0]))

    def text_vectors(self, embeddings_BC: Tensor) -> Tensor:
        """(B, dim) of length 1."""
        return unit(self.text(embeddings_BC))

    def scale(self) -> Tensor:
        """(1,) what cosines are multiplied by."""
        return limited(at_least_float32(self.log_scale).exp(), most=_LARGEST_SCALE)


class PlaceLogits(nn.Module):
    """From cosines to logits: a scale, an offset, and how often a sentence is true (docs/methods/grounding.md).

    Args:
        text_dim: of sentence embeddings.
    """

    def __init__(self, text_dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([2.3]))
        self.offset = nn.Parameter(torch.tensor([-3.0]))
        self.prior = nn.Linear(text_dim, 1, bias=False)
        nn.init.zeros_(self.prior.weight)

    def forward(self, cosine_TK: Tensor, embeddings_TC: Tensor) -> Tensor:
        """(T, K) logits."""
        scale, offset = at_least_float32(self.log_scale).exp(), at_least_float32(self.offset)
        return scale * cosine_TK + offset + at_least_float32(self.prior(embeddings_TC))


class SimCroPPlusNetwork(SimCroP):
    """What is trained.

    Args:
        config: of SimCroP.
        text_encoder: as SimCroP takes it.
        instance_dim: of the space of whole scans and reports; 0 for none.
        attends: see `InstanceHeads`.
        supervised: whether there are logits of places.
    """

    def __init__(
        self, config: PretrainingConfig, text_encoder: nn.Module, *, instance_dim: int, attends: bool, supervised: bool
    ) -> None:
        super().__init__(config, text_encoder)
        width, text = config.vision.dim, config.text.dim
        self.instance = InstanceHeads(width, text, instance_dim, attends=attends) if instance_dim else None
        self.places = PlaceLogits(text) if supervised else None

    def place_losses(self, places: Places, patches_BKC: Tensor) -> dict[str, Tensor]:
        """The sums over sentences whose place is known of the terms of `grounding_losses`.

        Args:
            places: of all frames of a micro-batch.
            patches_BKC: the visible patches in the sentences' space.

        Returns:
            "supervision", on patch and where, of those that point somewhere; "nowhere", of the others.
        """
        assert self.places is not None
        embeddings_TC = places.embeddings_TC.to(patches_BKC.dtype)
        sentences_TC = self.text_projection(embeddings_TC)
        cosine_TK = cosines(sentences_TC.unsqueeze(1), patches_BKC[places.frame_T])[:, 0]
        logits_TK = self.places(cosine_TK, embeddings_TC)
        there_PK, target_PK = logits_TK[places.pointing_P], places.target_TK[places.pointing_P].to(logits_TK.dtype)
        absent_QK = logits_TK[places.nowhere_Q]
        # Without any such sentence the sum is nothing, and parameters still have a gradient: zeros.
        found = denied = logits_TK.sum()
        if len(there_PK):
            found = balanced(there_PK, target_PK) + 0.5 * where(2 * there_PK, target_PK)
        if len(absent_QK):
            denied = nowhere(absent_QK).mean()
        return {"supervision": found * len(there_PK), "nowhere": denied * len(absent_QK)}
