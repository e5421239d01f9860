"""What a pre-training step hides: patches of the image and words of the report, as pure functions of given noise."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

NOT_A_TARGET = -100  # the label that cross-entropy leaves out
NO_WORD = -1


def visible_count(tokens: int, mask_ratio: float) -> int:
    """Patches left visible: 686 of 2744 at 0.75."""
    return int(tokens * (1 - mask_ratio))


def keep_indices(noise_BN: Tensor, count: int) -> Tensor:
    """The patches that stay visible: those with the least noise, (B, N) → (B, count), in rising order."""
    return noise_BN.argsort(dim=1, stable=True)[:, :count].sort(dim=1).values


def masked_patches(keep_BK: Tensor, tokens: int) -> Tensor:
    """Which patches are hidden: (B, K) indices of the visible ones → (B, N) true where hidden."""
    masked_BN = torch.ones(len(keep_BK), tokens, dtype=torch.bool, device=keep_BK.device)
    return masked_BN.scatter(1, keep_BK, value=False)


def words_of(continues_BT: Tensor, special_BT: Tensor) -> Tensor:
    """Number the words of tokenised reports.

    Args:
        continues_BT: true where a word piece continues the word before it ("##…" in WordPiece).
        special_BT: true for [CLS], [SEP] and padding.

    Returns:
        (B, T) index of each piece's word, from 0 in every report; −1 for special tokens.
    """
    starts_BT = ~(continues_BT | special_BT)
    return (starts_BT.cumsum(dim=1) - 1).masked_fill(special_BT, NO_WORD)


def mask_report(
    ids_BT: Tensor,
    words_BT: Tensor,
    noise_BT: Tensor,
    *,
    ratio: float,
    mask_id: int,
    unit: Literal["word", "token"] = "word",
    targets: Literal["masked", "all"] = "masked",
) -> tuple[Tensor, Tensor]:
    """Hide a share of the words of each report, always behind [MASK] (A14, A15).

    Args:
        ids_BT: word pieces.
        words_BT: from `words_of`.
        noise_BT: the words with the least noise are hidden; column w is the noise of word w.
        ratio: share of the words, rounded to whole words in each report.
        mask_id: of [MASK].
        unit: hide whole words, or count every piece for itself.
        targets: which pieces have a label: the hidden ones, or all that are not special.

    Returns:
        (B, T) ids with [MASK] in them, and (B, T) labels, −100 where there is none.
    """
    ordinary_BT = words_BT >= 0
    if unit == "token":
        words_BT = words_of(torch.zeros_like(ordinary_BT), ~ordinary_BT)
    words_B1 = words_BT.amax(dim=1, keepdim=True) + 1
    exists_BW = torch.arange(ids_BT.shape[1], device=ids_BT.device) < words_B1
    ranks_BW = noise_BT.masked_fill(~exists_BW, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    hidden_BW = ranks_BW < torch.round(words_B1 * ratio)
    hidden_BT = hidden_BW.gather(1, words_BT.clamp(min=0)) & ordinary_BT
    labelled_BT = hidden_BT if targets == "masked" else ordinary_BT
    return ids_BT.masked_fill(hidden_BT, mask_id), ids_BT.masked_fill(~labelled_BT, NOT_A_TARGET)
