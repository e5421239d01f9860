"""The words of a result, as figures and pages print them."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from simcrop_core.export.wording import (
    EVIDENCE_MEANING,
    MARKS,
    OUTCOME_MARKS,
    peak_words,
    score_words,
    sentence_facts,
    side_conflict_words,
    why_not_drawn,
)
from simcrop_core.results import Evidence, ImageReference, Outcome


def test_every_degree_of_evidence_has_a_shape_of_its_own_and_a_meaning():
    assert set(MARKS) == set(EVIDENCE_MEANING) == set(get_args(Evidence))
    assert len(set(MARKS.values())) == len(MARKS)
    assert set(OUTCOME_MARKS) == set(get_args(Outcome))


def test_no_word_of_evidence_is_a_verdict():
    for words in EVIDENCE_MEANING.values():
        assert not {"probability", "likely", "confirmed", "diagnosis", "verdict"} & set(words.lower().split())


def test_weights_without_thresholds_draw_by_the_scale_alone(located, heatmap, scale):
    assert why_not_drawn(dataclasses.replace(located, evidence=None), heatmap, scale) is None
    assert why_not_drawn(dataclasses.replace(located, evidence=None), None, scale) is not None


@pytest.mark.parametrize("evidence", ["not located", "outside field of view", "not groundable"])
def test_asking_for_absent_findings_does_not_draw_what_was_not_found(located, heatmap, scale, evidence):
    sentence = dataclasses.replace(located, polarity="negated", evidence=evidence)
    assert why_not_drawn(sentence, heatmap, scale, draw_absent=True) is not None


def test_a_peak_is_told_in_patient_directions_with_its_patch(located):
    assert peak_words(located) == "peak 72 L, 24 P, 36 I mm (± 12 mm)"
    assert (
        peak_words(dataclasses.replace(located, peak_ras_mm=(3.6, 0.0, 250.2))) == "peak 4 R, 0 A, 250 S mm (± 12 mm)"
    )
    assert peak_words(dataclasses.replace(located, peak_ras_mm=None)) == ""


def test_score_and_rank_are_left_out_where_there_are_none(located):
    assert score_words(dataclasses.replace(located, rank=None)) == "score 0.41"
    assert score_words(dataclasses.replace(located, rank=None, score=None)) == ""


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_a_side_conflict_names_both_sides(located, side, other):
    words = side_conflict_words(dataclasses.replace(located, side=side, side_conflict=True))
    assert words == f"Side conflict: the sentence says {side}, the peak is on the {other}."


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (ImageReference(4, 112, True, 36.2), "series 4, image 112, 36 mm from the peak"),
        (ImageReference(None, 7, True), "image 7"),
        (ImageReference(4, 112, False), "series 4, image 112 (not in this scan)"),
        (ImageReference(4, 112), "series 4, image 112 (the scan does not say which images it holds)"),
    ],
)
def test_an_image_in_a_sentence_is_compared_with_the_peak(located, reference, words):
    assert dict(sentence_facts(dataclasses.replace(located, reference=reference), placed=True))["Refers to"] == words


def test_a_peak_that_is_not_shown_is_not_named(located):
    assert not [name for name, _ in sentence_facts(located, placed=False) if "eak" in name]
