"""The terms of supervised grounding: on a patch, where, nowhere, and the contrasts within a scan and between scans."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the contrasts, as in pre-training (docs/methods/simcrop.md).
_TEMPERATURE = 0.07
# So many of the patches that a sentence without a place likes best are pushed away together.
_MOST_LIKED = 16


def cosine(sentences_SC: Tensor, features_NC: Tensor) -> Tensor:
    """(S, N) cosines, in float32 also where autocast would take fewer bits."""
    with torch.autocast("cpu", enabled=False):
        return F.normalize(sentences_SC.float(), dim=-1) @ F.normalize(features_NC.float(), dim=-1).T


def balanced(logits_SK: Tensor, target_SK: Tensor) -> Tensor:
    """Binary cross-entropy; the claimed patches of a sentence, however few, weigh half as much as all the others."""
    inside = (target_SK * F.softplus(-logits_SK)).sum(1) / target_SK.sum(1).clamp(min=1e-3)
    outside = ((1 - target_SK) * F.softplus(logits_SK)).sum(1) / (1 - target_SK).sum(1).clamp(min=1e-3)
    return (0.5 * inside + outside).mean()


def nowhere(logits_SK: Tensor) -> Tensor:
    """Suppression of sentences that point at nothing: on all patches, and on those that they like best."""
    most = logits_SK.topk(min(_MOST_LIKED, logits_SK.shape[1]), dim=1).values
    return F.softplus(most).mean(1) + F.softplus(logits_SK).mean(1)


def aligned(
    features_KC: Tensor, sentences_SC: Tensor, cosine_SK: Tensor, there: Tensor, meaning_S: Tensor, top_k: int
) -> Tensor:
    """Contrast of regions with sentences, both ways summed (paper Eq. 2 to 4).

    A sentence's region is the mean of its top-K patches. It has to be nearer to its own sentence than to all others,
    those that point nowhere among them; sentences that mean the same do not repel.
    """
    chosen = cosine_SK[there].detach().topk(min(top_k, cosine_SK.shape[1]), dim=1).indices
    logits_RS = cosine(features_KC[chosen].mean(1), sentences_SC) / _TEMPERATURE
    own = torch.nonzero(there)[:, 0]
    same_RS = meaning_S[own][:, None] == meaning_S[None, :]
    same_RS[torch.arange(len(own)), own] = False
    to_sentences = F.cross_entropy(logits_RS.masked_fill(same_RS, -torch.inf), own)
    to_regions = F.cross_entropy(logits_RS.masked_fill(same_RS, -torch.inf)[:, own].T, torch.arange(len(own)))
    return to_sentences + to_regions


def across(features_BKC: Tensor, sentences_FC: Tensor, alike_FB: Tensor, own_F: Tensor, top_k: int) -> Tensor:
    """Contrast of each sentence's score on its own scan with its scores on the others, where nothing like it is.

    The score is the one that decides `evidence`: the cosine with the mean of the top-K patches. Without this a network
    learns which sentences are often true, and hardly looks.

    Args:
        features_BKC: of the patches of every scan.
        sentences_FC: that point at a finding.
        alike_FB: whether the like was found in a scan.
        own_F: the scan each sentence is from.
        top_k: patches that make a region.
    """
    scans, patches = features_BKC.shape[:2]
    cosine_FBK = cosine(sentences_FC, features_BKC.flatten(0, 1)).unflatten(1, (scans, patches))
    chosen_FBk = cosine_FBK.detach().topk(min(top_k, patches), dim=2).indices
    rows_FBk = chosen_FBk + patches * torch.arange(scans)[:, None]
    region_FBC = F.embedding(rows_FBk, features_BKC.flatten(0, 1)).mean(2).float()
    score_FB = F.cosine_similarity(region_FBC, sentences_FC.float()[:, None], dim=-1)
    hidden_FB = alike_FB.scatter(1, own_F[:, None], value=False)
    return F.cross_entropy((score_FB / _TEMPERATURE).masked_fill(hidden_FB, -torch.inf), own_F)


def where(logits_SK: Tensor, target_SK: Tensor) -> Tensor:
    """Cross-entropy of a softmax over patches against the sentence's claim, less the least it can be."""
    wanted = target_SK / target_SK.sum(1, keepdim=True)
    least = -(wanted * wanted.clamp(min=1e-9).log()).sum(1)
    return (-(wanted * logits_SK.log_softmax(1)).sum(1) - least).mean()
