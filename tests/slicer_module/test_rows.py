"""Tables say what the results say (docs/results.md)."""

from __future__ import annotations

import pytest

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")
import slicer_widgets  # noqa: F401  (Slicer's i18n)
from SimCroPSlicerLib import rows

RESULT = {
    "text": "Mass in the left lower lobe.",
    "polarity": "positive",
    "kind": "finding",
    "side": "left",
    "lobe": "left lower lobe",
    "score": 0.678,
    "rank": [12, 500],
    "evidence": "located",
    "side_conflict": False,
}


def test_a_sentence_with_everything():
    row = rows.sentence_row(RESULT)
    assert row.cells == (RESULT["text"], "● located", "positive", "left lower lobe", "0.68", "12 of 500")
    assert not row.conflict


def test_a_side_conflict_is_marked_in_word_and_colour():
    row = rows.sentence_row({**RESULT, "side_conflict": True})
    assert row.conflict
    assert "⚠" in row.cells[3]
    assert "other" in row.tip


def test_a_side_without_a_lobe_and_a_lobe_of_no_side_are_both_said():
    assert rows.sentence_row({**RESULT, "lobe": None}).cells[3] == "left"
    assert rows.sentence_row({**RESULT, "lobe": "upper lobe", "side": "bilateral"}).cells[3] == "bilateral upper lobe"


def test_a_comparison_says_that_it_is_one_and_scores_nothing():
    row = rows.sentence_row({**RESULT, "kind": "comparison", "score": None, "rank": None, "evidence": "not groundable"})
    assert row.cells[1:3] == ("– not groundable", "comparison")
    assert row.cells[4:] == ("", "")


def test_a_sentence_that_is_being_looked_for_has_words_but_no_score():
    row = rows.pending_row({k: RESULT[k] for k in ("text", "polarity", "kind", "side", "lobe")})
    assert row.cells == (RESULT["text"], "", "positive", "left lower lobe", "", "")


def test_progress_in_words():
    assert rows.progress_text("Segmenting", 4, 10, 12.4) == "Segmenting 40 %, 12 s left"
    assert rows.progress_text("Waiting", 0, 0, None) == "Waiting"


def test_a_place_says_where_a_sentence_is_best():
    entry = {"text": "Mass.", "share_below": 0.994, "peak": False}
    assert rows.here_row(entry, "report").cells == ("Mass.", "99 % of the scan", "report")
    assert rows.here_row({**entry, "peak": True}, "report").cells[1] == "● best place, 99 % of the scan"


def test_a_check_has_its_code_outcome_words_and_hint_and_what_was_not_passed_comes_first():
    passed = {"code": "spacing", "outcome": "pass", "message": "Voxels of 1 × 1 × 1 mm.", "hint": ""}
    warned = {"code": "left-right", "outcome": "warned", "message": "The liver is on the left.", "hint": "Compare."}
    repaired = {"code": "copies-left-out", "outcome": "repaired", "message": "Two slices were there twice.", "hint": ""}
    assert rows.check_row(warned).cells == ("left-right", "warned", "The liver is on the left.", "Compare.")
    assert len(rows.check_row(warned).cells) == len(rows.CHECK_COLUMNS)
    assert [rows.check_row(one).conflict for one in (passed, warned, repaired)] == [False, True, True]
    assert rows.worst_first([passed, warned, repaired]) == [warned, repaired, passed]
