"""Sentences against the patches of one scan: the map, the region, the score and the rank of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from simcrop_core.errors import WidthMismatch
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.inference.features import PatchFeatures
from simcrop_core.inference.prominence import prominence
from simcrop_core.models.weights_metadata import Measure

_SENTENCES_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """What a scan answers to S sentences.

    Attributes:
        maps_SN: cosine of each patch with each sentence; −1 where a patch holds only padding.
        scores_S: cosine of each sentence with the mean of its top-K patches.
        peaks_S: the patch with the highest cosine.
        measures_S: what evidence goes by: these scores, or prominence (`inference.prominence`).
        usual_S: what that is on chests in general; None where the weights do not say.
    """

    maps_SN: Tensor
    scores_S: Tensor
    peaks_S: Tensor
    measures_S: Tensor
    usual_S: Tensor | None = None

    @property
    def excess_S(self) -> Tensor:
        """By how much each sentence measures above what is usual for it; its measure where that is not known."""
        return self.measures_S if self.usual_S is None else self.measures_S - self.usual_S

    def rows(self, numbers: Tensor) -> Similarity:
        """The answer to the sentences of those numbers only."""
        usual_S = None if self.usual_S is None else self.usual_S[numbers]
        return Similarity(
            self.maps_SN[numbers], self.scores_S[numbers], self.peaks_S[numbers], self.measures_S[numbers], usual_S
        )


@torch.inference_mode()
def ground(
    features: PatchFeatures,
    sentences_SC: Tensor,
    *,
    top_k: int,
    measure: Measure = "score",
    usual_S: Tensor | None = None,
) -> Similarity:
    """Score every patch of one scan against every sentence.

    Cosine similarity of patch features and sentence embeddings (paper Eq. 2 with both sides L2-normalised), and the
    cosine with the mean of the top-K patches (Eq. 3, 4; docs/methods/simcrop.md). All patches are visible.

    Args:
        features: of one scan.
        sentences_SC: sentence embeddings in the patch space.
        top_k: patches that make a sentence's region; clipped to the number of patches within the scan.
        measure: what evidence goes by.
        usual_S: what that is on chests in general, where the weights know it.

    Raises:
        WidthMismatch: features and embeddings come from different models.
    """
    if sentences_SC.shape[1] != features.features_NC.shape[1]:
        raise WidthMismatch(
            f"The sentences are {sentences_SC.shape[1]} wide and the patches {features.features_NC.shape[1]}.",
            hint="Encode the scan and the sentences with the same weights.",
        )
    sentences_SC = F.normalize(sentences_SC, dim=1)
    maps_SN = sentences_SC @ F.normalize(features.features_NC, dim=1).T
    maps_SN = maps_SN.masked_fill(~features.within_scan_N, -1.0)
    patches = int(features.within_scan_N.sum())
    top_k = min(top_k, patches)
    scores = [
        _region_scores(features.features_NC, sentences, maps, top_k)
        for sentences, maps in zip(
            sentences_SC.split(_SENTENCES_AT_ONCE), maps_SN.split(_SENTENCES_AT_ONCE), strict=True
        )
    ]
    scores_S = torch.cat(scores)
    measures_S = scores_S if measure == "score" else prominence(maps_SN, patches)
    return Similarity(maps_SN, scores_S, maps_SN.argmax(dim=1), measures_S, usual_S)


def _region_scores(features_NC: Tensor, sentences_SC: Tensor, maps_SN: Tensor, top_k: int) -> Tensor:
    """Cosine of each (normalised) sentence with the mean feature of its top-K patches."""
    regions_SKC = features_NC[maps_SN.topk(top_k, dim=1).indices]
    return (F.normalize(regions_SKC.mean(dim=1), dim=1) * sentences_SC).sum(dim=1)


def heatmap_of(map_N: Tensor, features: PatchFeatures, text: str) -> Heatmap:
    """One sentence's map on the patch grid of the scan."""
    return Heatmap(map_N.reshape(features.grid).numpy(), features.affine, text)


def ranks(excess_S: Tensor, reference_excess_R: Tensor) -> list[tuple[int, int]]:
    """Each sentence's place among the reference sentences on the same scan, by the excess over what is usual.

    (1, 500) is above them all, (500, 500) below all or all but one.
    """
    better = (reference_excess_R[None, :] > excess_S[:, None]).sum(dim=1)
    out_of = len(reference_excess_R)
    return [(min(int(place) + 1, out_of), out_of) for place in better]
