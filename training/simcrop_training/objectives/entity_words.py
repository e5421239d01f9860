"""Words of a report that name a finding or a place in the chest, which are hidden more often than others."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import torch
from tokenizers import Encoding
from torch import Tensor

from simcrop_core.models.masking import NOT_A_TARGET, mask_report, words_of

_LIST = Path(__file__).with_name("biud_entities.txt")


@cache
def entities() -> re.Pattern[str]:
    """Any expression of the packaged list, in whole words and any case."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    expressions = [line for line in lines if line and not line.startswith("#")]
    return re.compile(rf"(?<!\w)(?:{'|'.join(expressions)})(?!\w)", re.IGNORECASE)


def entity_pieces(text: str, encoding: Encoding) -> list[bool]:
    """Which word pieces of a text belong to such a word."""
    inside = bytearray(len(text))
    for match in entities().finditer(text):
        inside[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    return [any(inside[start:end]) for start, end in encoding.offsets]


def focused_mask(
    ids_BT: Tensor,
    continues_BT: Tensor,
    special_BT: Tensor,
    entity_BT: Tensor,
    noise_2BT: Tensor,
    *,
    ratios: tuple[float, float],
    mask_id: int,
) -> tuple[Tensor, Tensor]:
    """Hide a share of the entities' words and another share of the other words, always behind [MASK].

    Args:
        ids_BT: word pieces.
        continues_BT: true where a piece continues the word before it.
        special_BT: true for [CLS], [SEP] and padding.
        entity_BT: true for the pieces of entities' words.
        noise_2BT: for entities' words and for others; the words with the least noise are hidden (`mask_report`).
        ratios: shares of entities' words and of other words, each rounded to whole words in each report.
        mask_id: of [MASK].

    Returns:
        (B, T) ids with [MASK] in them, and (B, T) labels, −100 where nothing is hidden.
    """
    hidden_BT = torch.zeros_like(special_BT)
    for among_BT, noise_BT, ratio in zip((entity_BT, ~entity_BT), noise_2BT, ratios, strict=True):
        numbers_BT = words_of(continues_BT, special_BT | ~among_BT)
        _, labels_BT = mask_report(ids_BT, numbers_BT, noise_BT, ratio=ratio, mask_id=mask_id)
        hidden_BT |= labels_BT != NOT_A_TARGET
    return ids_BT.masked_fill(hidden_BT, mask_id), ids_BT.masked_fill(~hidden_BT, NOT_A_TARGET)
