"""Reports as word pieces with most of their words hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.masking import mask_report, words_of

T = TypeVar("T")


# Reports are padded to a multiple of so many word pieces.
_LENGTHS = 32


@dataclass(frozen=True, slots=True, eq=False)
class MaskedReports:
    """Reports side by side, padded to a multiple of 32 pieces, or the most there may be.

    Attributes:
        words_BT: their word pieces.
        report_BT: the same with hidden words behind [MASK].
        attended_BT: true where there is a piece, false for padding.
        labels_BT: the pieces to fill in, −100 elsewhere.
    """

    words_BT: Tensor
    report_BT: Tensor
    attended_BT: Tensor
    labels_BT: Tensor


class ReportMasker:
    """Findings and impression → masked word pieces and what to fill in (docs/methods/simcrop.md, A13 to A15).

    Args:
        tokenizer: of the text encoder.
        config: says how much is hidden, and what is scored.
        longest: word pieces of a report; findings are cut at their end, so that the impression is kept.
    """

    def __init__(self, tokenizer: Tokenizer, config: PretrainingConfig, longest: int) -> None:
        self._tokenizer, self._config, self._longest = tokenizer, config, longest
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._pad, self._mask, self._cls, self._sep = map(self._id_of, ("[PAD]", "[MASK]", "[CLS]", "[SEP]"))

    def pieces(self, findings: str, impression: str) -> tuple[list[int], list[bool]]:
        """Word pieces with [CLS] and [SEP] around them, and which of them continue a word."""
        first, second = (self._tokenizer.encode(text, add_special_tokens=False) for text in (findings, impression))
        ids, tokens = self.cut(first.ids, second.ids), self.cut(first.tokens, second.tokens)
        return [self._cls, *ids, self._sep], [False, *(token.startswith("##") for token in tokens), False]

    def cut(self, findings: Sequence[T], impression: Sequence[T]) -> list[T]:
        """What a report keeps, of anything that both sections have one of for each word piece."""
        room = self._longest - 2
        kept = impression[:room]
        return [*findings[: room - len(kept)], *kept]

    def masked(self, reports: Sequence[tuple[str, str]], noises: Sequence[NDArray[np.float32]]) -> MaskedReports:
        """Cut, pad and mask reports.

        Args:
            reports: findings and impression of each.
            noises: (at least `longest`,) of each; decides which words are hidden, whatever else is in the batch.
        """
        cut = [self.pieces(*report) for report in reports]
        # Few different lengths: a CPU keeps kernels for every one it has seen, a compiler compiles again.
        width = min(-(-max(len(ids) for ids, _ in cut) // _LENGTHS) * _LENGTHS, self._longest)
        ids_BT = torch.full((len(cut), width), self._pad)
        continues_BT = torch.zeros(len(cut), width, dtype=torch.bool)
        special_BT = torch.ones(len(cut), width, dtype=torch.bool)
        noise_BT = torch.zeros(len(cut), width)
        for b, ((ids, continues), noise) in enumerate(zip(cut, noises, strict=True)):
            ids_BT[b, : len(ids)] = torch.tensor(ids)
            continues_BT[b, : len(ids)] = torch.tensor(continues)
            special_BT[b, 1 : len(ids) - 1] = False
            noise_BT[b] = torch.from_numpy(noise[:width])
        masked_BT, labels_BT = mask_report(
            ids_BT,
            words_of(continues_BT, special_BT),
            noise_BT,
            ratio=self._config.text_mask_ratio,
            mask_id=self._mask,
            unit=self._config.text_mask_unit,
            targets=self._config.mlm_on,
        )
        return MaskedReports(ids_BT, masked_BT, ids_BT != self._pad, labels_BT)

    def _id_of(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        assert number is not None, f"every BERT vocabulary has {token}"
        return int(number)
