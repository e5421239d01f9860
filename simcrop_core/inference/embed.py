"""Sentences to where they stand among the patches: the one way in which weights read a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from simcrop_core.models.config import TextConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.text.encoder import TextEncoder
from simcrop_core.text.short_form import closed, short_form


def embed(model: GroundingModel, encoder: TextEncoder, sentences: Sequence[str]) -> Tensor:
    """Embeddings of sentences in the patch space.

    Weights that say so (`TextConfig.short_forms`) read a sentence as the mean direction of itself and of its short form
    (docs/text.md), with a full stop or without; every sentence of other weights is read as it is written.

    Args:
        model: whose patch space.
        encoder: its text tower; sentences and short forms go through it together.
        sentences: with their headings (`Statement.grounding_text`).

    Returns:
        (S, C), of length 1 where the weights read short forms.
    """
    if not model.config.text.short_forms:
        return model.project(encoder.encode(sentences))
    sentences, short = [closed(sentence) for sentence in sentences], _short(sentences)
    texts = _distinct([*sentences, *short])
    row = {text: number for number, text in enumerate(texts)}
    projected_TC = model.project(encoder.encode(texts))
    return mean_direction(projected_TC[[row[text] for text in sentences]], projected_TC[[row[text] for text in short]])


def mean_direction(sentences_SC: Tensor, short_SC: Tensor) -> Tensor:
    """(S, C) of length 1: halfway between projected sentences and their projected short forms."""
    return F.normalize(F.normalize(sentences_SC, dim=1) + F.normalize(short_SC, dim=1), dim=1)


def texts_read(config: TextConfig, sentences: Sequence[str]) -> list[str]:
    """Everything that goes through the text encoder for some sentences: their short forms too, where weights read them.

    Args:
        config: of the weights.
        sentences: as they are asked.
    """
    if not config.short_forms:
        return _distinct(sentences)
    return _distinct([*(closed(sentence) for sentence in sentences), *_short(sentences)])


def _short(sentences: Sequence[str]) -> list[str]:
    return [short_form(sentence) or closed(sentence) for sentence in sentences]


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))
