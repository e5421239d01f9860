"""The reference sentences of the findings: complete, rightly understood, and fair to both sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from simcrop_core.text import findings
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.findings import finding_sentences

FINDINGS = finding_sentences()
by_label = pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.label)


def test_the_labels_are_those_of_ct_rate_in_its_order():
    assert tuple(finding.label for finding in FINDINGS) == CT_RATE_LABELS


def test_no_line_of_the_file_is_lost_and_no_sentence_stands_twice():
    lines = Path(findings.__file__).with_name("finding_sentences.txt").read_text(encoding="utf-8").splitlines()
    sentences = [s.text for finding in FINDINGS for s in (*finding.positive, *finding.negated)]
    assert len(sentences) == len([line for line in lines if line]) - len(CT_RATE_LABELS)
    assert len(set(sentences)) == len(sentences)


@by_label
def test_the_plain_prompts_come_first(finding):
    assert finding.positive[0].text == f"{finding.label} is present."
    assert finding.negated[0].text == f"{finding.label} is not present."


@by_label
def test_positive_sentences_assert_a_finding_in_the_chest_and_negated_ones_deny_it(finding):
    assert len(finding.positive) >= 5
    assert len(finding.negated) >= 4
    assert {(s.polarity, s.kind) for s in finding.positive} == {("positive", "finding")}
    assert {(s.polarity, s.kind) for s in finding.negated} == {("negated", "finding")}
    assert {s.region for s in finding.positive} <= {"chest", None}


@by_label
def test_neither_side_has_the_better_chance(finding):
    """A right and a left sentence each, but for structures that lie on one side only."""
    sides = Counter(s.side for s in finding.positive)
    assert abs(sides["left"] - sides["right"]) <= 1


@by_label
def test_half_a_chest_still_has_a_sentence(finding):
    """The plain prompt names no side and no region, so some sentence is always inside the field of view."""
    assert (finding.positive[0].side, finding.positive[0].lobe) == (None, None)
