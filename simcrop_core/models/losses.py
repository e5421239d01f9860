"""The three losses of pre-training (paper Eq. 1, 4 and 6), as sums with their counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.regions import similarity


@dataclass(frozen=True, slots=True)
class LossSum:
    """A loss before the division, so that many ranks can divide by their common count.

    Attributes:
        total: sum of the loss over what it is about (patches, reports, word pieces), float32 or wider.
        count: how many those are.
    """

    total: Tensor
    count: Tensor

    @property
    def mean(self) -> Tensor:
        """Total over count; 0 where there is nothing."""
        return self.total / self.count.clamp(min=1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Narrow types widened; float64 stays, so that runs can be compared in it."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def standardised(patches_BNP: Tensor, floor: float) -> Tensor:
    """Each patch at mean 0 and deviation 1, no deviation below `floor` being divided by (A20)."""
    deviation, mean = torch.std_mean(patches_BNP, dim=-1, keepdim=True, correction=0)
    return (patches_BNP - mean) / deviation.clamp(min=floor)


def masked_image_loss(
    predicted_BNP: Tensor,
    target_BNP: Tensor,
    masked_BN: Tensor,
    on: Literal["masked", "all", "ecamp"] = "masked",
) -> LossSum:
    """Mean squared error of filled-in patches (paper Eq. 1; A20).

    Args:
        predicted_BNP: the decoder's voxels of every patch.
        target_BNP: the image's.
        masked_BN: true where a patch was hidden.
        on: patches that count: the hidden ones, all, or the hidden ones divided by the number of all.

    Returns:
        The sum over patches of their mean squared error, and the number of patches.
    """
    error_BN = (at_least_float32(predicted_BNP) - at_least_float32(target_BNP)).square().mean(dim=-1)
    counted = masked_BN.sum() if on == "masked" else torch.tensor(masked_BN.numel(), device=masked_BN.device)
    return LossSum((error_BN if on == "all" else error_BN * masked_BN).sum(), counted)


def distinct(identities_BS: Tensor) -> Tensor:
    """Which sentences stand in their report for the first time.

    Args:
        identities_BS: one number a sentence, the same for the same text; negative for padding.

    Returns:
        (B, S) true for the first of each sentence, false for repetitions and padding (A12).
    """
    same_BSS = identities_BS.unsqueeze(2) == identities_BS.unsqueeze(1)
    before = torch.ones(same_BSS.shape[1:], dtype=torch.bool, device=same_BSS.device).tril(-1)
    return ~(same_BSS & before).any(dim=2) & (identities_BS >= 0)


def alignment_loss(
    regions_BSC: Tensor,
    sentences_BSC: Tensor,
    identities_BS: Tensor,
    *,
    temperature: float = 0.07,
    normalise: bool = True,
    negatives: Literal["report", "batch"] = "report",
) -> LossSum:
    """Contrast of sentences with their regions, both ways summed (paper Eq. 4; A6, A10, A12).

    Args:
        regions_BSC: feature of each sentence's region.
        sentences_BSC: embedding of each sentence.
        identities_BS: as in `distinct`; repetitions and padding neither count nor repel.
        temperature: divides the similarities.
        normalise: cosines; otherwise dot products over √C.
        negatives: the other sentences of the report, or of the batch apart from identical ones.

    Returns:
        With "report" the sum over reports of the mean over their sentences, and the number of reports with two
        distinct sentences or more; with "batch" the sum over sentences, and their number.
    """
    valid_BS = distinct(identities_BS)
    if negatives == "batch":
        regions_BSC, sentences_BSC = regions_BSC[valid_BS].unsqueeze(0), sentences_BSC[valid_BS].unsqueeze(0)
        identities_BS = identities_BS[valid_BS].unsqueeze(0)
        valid_BS = torch.ones_like(identities_BS, dtype=torch.bool)
    valid_BS = valid_BS & (valid_BS.sum(dim=1, keepdim=True) >= 2)
    repels_BSS = valid_BS.unsqueeze(2) & valid_BS.unsqueeze(1)
    repels_BSS &= identities_BS.unsqueeze(2) != identities_BS.unsqueeze(1)
    own = torch.eye(valid_BS.shape[1], dtype=torch.bool, device=valid_BS.device)
    # Autocast would multiply in bfloat16: cosines to within 0.004, which the temperature makes 0.06.
    with torch.autocast(regions_BSC.device.type, enabled=False):
        cosine_BSS = similarity(at_least_float32(regions_BSC), at_least_float32(sentences_BSC), normalise=normalise)
    logits_BSS = (cosine_BSS / temperature).masked_fill(~(repels_BSS | own), -torch.inf)
    both_BSS = logits_BSS.log_softmax(dim=2) + logits_BSS.log_softmax(dim=1)
    losses_BS = -both_BSS.diagonal(dim1=1, dim2=2) * valid_BS
    if negatives == "batch":
        return LossSum(losses_BS.sum(), valid_BS.sum())
    counts_B = valid_BS.sum(dim=1)
    return LossSum((losses_BS.sum(dim=1) / counts_B.clamp(min=1)).sum(), (counts_B > 0).sum())


def masked_report_loss(logits: Tensor, labels: Tensor) -> LossSum:
    """Cross-entropy of filled-in word pieces (paper Eq. 6; A15).

    Args:
        logits: (…, vocabulary) scores of word pieces.
        labels: (…) the right piece, −100 where none is asked for.

    Returns:
        The sum over labelled pieces, and their number.
    """
    scores = at_least_float32(logits.flatten(0, -2))
    total = F.cross_entropy(scores, labels.flatten(), ignore_index=NOT_A_TARGET, reduction="sum")
    return LossSum(total, (labels != NOT_A_TARGET).sum())
