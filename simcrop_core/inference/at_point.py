"""From a place to sentences: which of them fit the patch at a point best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.lattice import index_in
from simcrop_core.inference.features import PatchFeatures
from simcrop_core.inference.grounding import Similarity
from simcrop_core.results import AtResult, SentenceAt, SentenceResult


def sentences_at(
    point_ras_mm: tuple[float, float, float],
    features: PatchFeatures,
    similarity: Similarity,
    results: Sequence[SentenceResult],
) -> AtResult:
    """Rank sentences by the share of the scan that fits them less than the patch at a point.

    A cosine alone would not do: some wordings are similar to every patch, and would be first wherever one points.

    Args:
        point_ras_mm: a point of the patient.
        features: of the scan.
        similarity: of the sentences with it.
        results: of the same sentences; those without a peak are about no place and are left out.
    """
    index = np.rint(index_in(features.affine, point_ras_mm)).astype(int)
    inside = bool(((index >= 0) & (index < features.grid)).all())
    patch = int(np.ravel_multi_index(tuple(index), features.grid)) if inside else 0
    if not inside or not bool(features.within_scan_N[patch]):
        return AtResult(point_ras_mm, None, features.patch_mm, [])
    r, a, s = (round(float(mm), 2) for mm in apply(features.affine, index))
    shares_S = _shares_below(features, similarity, patch)
    sentences = [
        SentenceAt(i, result.text, round(float(similarity.maps_SN[i, patch]), 4), round(float(shares_S[i]), 4), peak)
        for i, result in enumerate(results)
        if result.peak_ras_mm is not None
        for peak in [int(similarity.peaks_S[i]) == patch]
    ]
    sentences.sort(key=lambda sentence: (-sentence.share_below, -sentence.similarity))
    return AtResult(point_ras_mm, (r, a, s), features.patch_mm, sentences)


@torch.inference_mode()
def _shares_below(features: PatchFeatures, similarity: Similarity, patch: int) -> torch.Tensor:
    """(S,) share of the other patches within the scan that fit each sentence less than this patch."""
    within_SN = similarity.maps_SN[:, features.within_scan_N]
    others = max(1, within_SN.shape[1] - 1)
    return (within_SN < similarity.maps_SN[:, patch, None]).sum(dim=1) / others
