from __future__ import annotations

from simcrop_core.text.reference import reference_sentences
from simcrop_core.text.report import parse_sentence


def test_the_bank_is_five_hundred_distinct_positive_findings():
    sentences = reference_sentences()
    assert len(sentences) == len({" ".join(s.lower().split()) for s in sentences}) == 500
    statements = [parse_sentence(sentence) for sentence in sentences]
    assert [s.text for s in statements if (s.polarity, s.kind) != ("positive", "finding")] == []


def test_the_bank_covers_every_lobe_both_sides_and_the_organs_around():
    statements = [parse_sentence(sentence) for sentence in reference_sentences()]
    for lobe in (
        "right upper lobe",
        "right middle lobe",
        "right lower lobe",
        "left upper lobe",
        "lingula",
        "left lower lobe",
    ):
        assert sum(s.lobe == lobe for s in statements) >= 10
    left, right = (sum(s.side == side for s in statements) for side in ("left", "right"))
    assert abs(left - right) <= 0.1 * (left + right)
    assert {s.region for s in statements} >= {"chest", "neck", "upper abdomen", "kidneys"}
