"""The losses of `simcrop_plus`: soft selection, weighted alignment with rivals, and evidence between studies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from simcrop_core.models.losses import at_least_float32
from simcrop_training.engine.objective import Rows

# Below it the selection is as good as hard.
_HARDEST = 1e-6


def cosines(sentences_BSC: Tensor, patches_BNC: Tensor) -> Tensor:
    """(B, S, N) cosines of every sentence with every patch of its scan, float32 or wider also under autocast."""
    with torch.autocast(patches_BNC.device.type, enabled=False):
        return unit(sentences_BSC) @ unit(patches_BNC).mT


def unit(vectors: Tensor) -> Tensor:
    """Vectors at length 1, float32 or wider."""
    return F.normalize(at_least_float32(vectors), dim=-1)


@torch.no_grad()
def selected(cosines: Tensor, top_k: int, softness: float | Tensor) -> Tensor:
    """How much each patch belongs to a sentence's region: shares that sum to 1 over the last axis, without gradient.

    A patch belongs by sigmoid((cos − t) / softness), where t lies halfway between the K-th and the next cosine. With
    softness 0 these are the K nearest patches in equal shares (paper Eq. 2); with much of it all patches.

    Args:
        cosines: (…, N).
        top_k: patches of a region when the selection is hard; all if there are no more.
        softness: in units of cosines.
    """
    if top_k >= cosines.shape[-1]:
        return torch.full_like(cosines, 1 / cosines.shape[-1])
    nearest = cosines.topk(top_k + 1, dim=-1).values[..., -2:]
    softest = torch.as_tensor(softness, dtype=cosines.dtype, device=cosines.device).clamp(min=_HARDEST)
    shares = ((cosines - nearest.mean(dim=-1, keepdim=True)) / softest).sigmoid()
    return shares / shares.sum(dim=-1, keepdim=True)


def scores(cosines: Tensor, top_k: int, softness: float | Tensor) -> Tensor:
    """How much of a sentence a scan shows: the mean cosine of its region's patches, (…, N) → (…)."""
    return (selected(cosines, top_k, softness) * cosines).sum(dim=-1)


def aligned(
    regions_BSC: Tensor,
    sentences_BSC: Tensor,
    rivals_BRC: Tensor,
    *,
    distinct_BS: Tensor,
    repels_BSS: Tensor,
    rivals_BR: Tensor,
    weights_BS: Tensor,
    temperature: float,
) -> Tensor:
    """Contrast of regions with their sentences, both ways summed (paper Eq. 4), (B,) a report.

    Without rivals, with equal weights and with all other sentences repelling it is the paper's. The loss of a report is
    the weighted mean over its sentences; 0 with fewer than two.

    Args:
        regions_BSC: mean feature of each sentence's region.
        sentences_BSC: embeddings in the patches' space.
        rivals_BRC: embeddings of sentences that are not true of the report; no region may be nearer to them.
        distinct_BS: the sentences that take part.
        repels_BSS: pairs of different meaning.
        rivals_BR: false for padding.
        weights_BS: of the sentences.
        temperature: divides the cosines.
    """
    takes_part_BS = distinct_BS & (distinct_BS.sum(dim=1, keepdim=True) >= 2)
    own_SS = torch.eye(takes_part_BS.shape[1], dtype=torch.bool, device=takes_part_BS.device)
    compared_BSS = (repels_BSS & takes_part_BS.unsqueeze(2) & takes_part_BS.unsqueeze(1)) | own_SS
    logits_BSS = (cosines(regions_BSC, sentences_BSC) / temperature).masked_fill(~compared_BSS, -torch.inf)
    against_BSR = (cosines(regions_BSC, rivals_BRC) / temperature).masked_fill(~rivals_BR.unsqueeze(1), -torch.inf)
    to_sentence_BS = torch.cat([logits_BSS, against_BSR], dim=2).log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    to_region_BS = logits_BSS.log_softmax(dim=1).diagonal(dim1=1, dim2=2)
    losses_BS = -(to_sentence_BS + to_region_BS)
    return weighted_mean(losses_BS, weights_BS * takes_part_BS)


def across(
    score_FB: Tensor, own_F: Tensor, alike_FB: Tensor, rival_FR: Tensor, there_FR: Tensor, weights_F: Tensor,
    temperature: float,
) -> Tensor:  # fmt: skip
    """Whether a sentence scores higher on its own study than on others, and higher than its rivals there, ().

    Args:
        score_FB: of each sentence on every study of the step.
        own_F: the study each sentence is from.
        alike_FB: studies of which the like may be true, and which therefore do not repel.
        rival_FR: scores of the sentence's rivals (other side, denied) on its own study.
        there_FR: false where there is no such rival.
        weights_F: of the sentences; one without anything to be compared with counts for nothing.
        temperature: divides the scores.
    """
    hidden_FB = alike_FB.scatter(1, own_F[:, None], value=False)
    hidden = torch.cat([hidden_FB, ~there_FR], dim=1)
    logits = (torch.cat([score_FB, rival_FR], dim=1) / temperature).masked_fill(hidden, -torch.inf)
    losses_F = -logits.log_softmax(dim=1).gather(1, own_F[:, None])[:, 0]
    return weighted_mean(losses_F, weights_F * ((~hidden).sum(dim=1) > 1))


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Over the last axis; 0 where no weight is."""
    weights = weights.to(values.dtype)
    # A value without weight may be infinite.
    kept = values.masked_fill(weights == 0, 0.0)
    return (kept * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1e-12)


def alike_studies(claims_F3: Tensor, own_F: Tensor, said_M3: Tensor, study_M: Tensor, reports_B: Tensor) -> Tensor:
    """(F, B) studies of which the like of a sentence may be true: no negatives of it.

    Args:
        claims_F3: number of the text, bits of kinds and of sides of each sentence (`sentence_topics.Topic`).
        own_F: the study each is from.
        said_M3: the same of all that any report of the step says; no kinds where it asserts none.
        study_M: whose report says it.
        reports_B: a number a report, the same for the same text.
    """
    same_FM = claims_F3[:, None, 0] == said_M3[None, :, 0]
    common_FM2 = (claims_F3[:, None, 1:] & said_M3[None, :, 1:]) != 0
    like_FM = same_FM | common_FM2.all(dim=2)
    of_study_MB = F.one_hot(study_M, len(reports_B))
    return (like_FM.float() @ of_study_MB.float() > 0) | (reports_B[own_F][:, None] == reports_B[None])


def between_studies(rows: Sequence[Rows], top_k: int, temperature: float) -> Tensor:
    """`across`, over the rows of all micro-batches of a step (`SimCroPPlus.rows`), ()."""
    sizes = [len(r["reports"]) for r in rows]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    own_F, study_M = (
        torch.cat([r[name] + start for r, start in zip(rows, starts, strict=True)]) for name in ("owners", "studies")
    )
    gathered = {name: torch.cat([r[name] for r in rows]) for name in rows[0].keys() - {"owners", "studies"}}
    softness, selecting = rows[0]["softness"].detach().unbind()
    patches_BNC = gathered["patches"]
    cosine_FBN = (gathered["sentences"] @ patches_BNC.flatten(0, 1).T).unflatten(1, patches_BNC.shape[:2])
    loss = across(
        scores(cosine_FBN, top_k, softness),
        own_F,
        alike_studies(gathered["claims"], own_F, gathered["said"], study_M, gathered["reports"]),
        gathered["rival_scores"],
        gathered["rivals_there"],
        gathered["sentence_weights"].detach(),
        temperature,
    )
    return selecting.to(loss.dtype) * loss
