from __future__ import annotations

from collections.abc import Sequence

import torch

from simcrop_core.text.cache import CachedTextEncoder, sentence_key


class _Counting:
    """Embeds a sentence as its length, and remembers what it was asked."""

    dim = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        self.asked += sentences
        return torch.tensor([[float(len(s)), 1.0] for s in sentences]).reshape(-1, 2)


def test_a_sentence_is_embedded_once_whatever_its_white_space():
    inner = _Counting()
    encoder = CachedTextEncoder(inner)
    first = encoder.encode(["No effusion.", "Nodule.", " No  effusion.\n"])
    again = encoder.encode(["Nodule.", "No effusion."])
    assert inner.asked == ["No effusion.", "Nodule."]
    assert first[:, 0].tolist() == [12, 7, 12]
    assert again[:, 0].tolist() == [7, 12]


def test_case_is_part_of_a_sentence():
    assert sentence_key("no PE") != sentence_key("No PE")


def test_the_least_recently_used_sentence_goes_first():
    inner = _Counting()
    encoder = CachedTextEncoder(inner, capacity=2)
    encoder.encode(["a", "bb"])
    encoder.encode(["a"])
    encoder.encode(["ccc"])
    inner.asked.clear()
    encoder.encode(["a", "ccc"])
    assert inner.asked == []
    encoder.encode(["bb"])
    assert inner.asked == ["bb"]


def test_more_sentences_than_the_cache_holds_are_all_embedded():
    encoder = CachedTextEncoder(_Counting(), capacity=2)
    assert encoder.encode(["a", "bb", "ccc", "dddd"])[:, 0].tolist() == [1, 2, 3, 4]


def test_nothing_asked_nothing_embedded():
    encoder = CachedTextEncoder(_Counting())
    assert encoder.encode([]).shape == (0, 2)


def test_what_the_caller_does_to_an_embedding_does_not_reach_the_cache():
    encoder = CachedTextEncoder(_Counting())
    encoder.encode(["a"]).zero_()
    assert encoder.encode(["a"])[0].tolist() == [1, 1]
