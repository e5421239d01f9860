"""Sentences made untrue by rules, and what the rules take for the same."""

from __future__ import annotations

import pytest
from simcrop_training.objectives.hard_negatives import asserted, denied, mirrored, rivals_of
from simcrop_training.objectives.sentence_topics import topic_of

from simcrop_core.phantom.draw import draw_phantom


@pytest.mark.parametrize(
    ("sentence", "other"),
    [
        ("A nodule is seen in the right upper lobe.", "A nodule is seen in the left upper lobe."),
        ("Left pleural effusion.", "Right pleural effusion."),
        ("Mass, RUL.", "Mass, LUL."),
        ("Consolidation in the lingula.", "Consolidation in the right middle lobe."),
        ("Consolidation in the right middle lobe.", "Consolidation in the lingula."),
        ("Nodule in the right lung beside the left atrium.", "Nodule in the left lung beside the left atrium."),
        ("Nodule in the right lung, right above the diaphragm.", "Nodule in the left lung, right above the diaphragm."),
        ("Emphysema in both lungs.", None),
        ("The left ventricle is dilated.", None),
        ("Cardiomegaly.", None),
    ],
)  # fmt: skip
def test_the_other_side(sentence, other):
    assert mirrored(sentence) == other


@pytest.mark.parametrize(
    ("sentence", "other"),
    [
        ("There is a hiatal hernia.", "There is no hiatal hernia."),
        ("A nodule is seen in the left lung.", "A nodule is not seen in the left lung."),
        ("Multiple nodules in both lungs.", "No nodules in both lungs."),
        ("GGO in the right lung.", "No GGO in the right lung."),
        ("Note is made of a nodule in the RUL.", "No nodule in the RUL."),
        ("The heart is of normal size.", None),
    ],
)
def test_a_finding_denied(sentence, other):
    assert denied(sentence) == other


@pytest.mark.parametrize(
    ("sentence", "other"),
    [
        ("No pleural effusion.", "Pleural effusion."),
        ("There is no evidence of pneumothorax.", "There is pneumothorax."),
        ("Consolidation was not observed in the left lung.", "Consolidation was observed in the left lung."),
        ("The trachea is open.", None),
    ],
)
def test_a_denial_asserted(sentence, other):
    assert asserted(sentence) == other


def test_no_rival_is_true_of_the_report():
    said = [
        "A nodule in the right lung.",
        "A nodule in the left lung.",
        "No effusion.",
        "Pleural effusion on the left.",
    ]
    assert [(rival.text, rival.of) for rival in rivals_of(said, said)] == [
        ("No nodule in the right lung.", 0),
        ("No nodule in the left lung.", 1),
        ("Pleural effusion on the right.", 3),
    ]


def test_one_topic_in_other_words():
    nodule = topic_of("A nodule of 8 mm in the right upper lobe.")
    assert nodule.alike(topic_of("Multiple nodules."))
    assert nodule.alike(topic_of("Nodules in both lungs, no effusion."))
    assert not nodule.alike(topic_of("A nodule in the left lung."))
    assert not nodule.alike(topic_of("No nodule in the right lung."))
    assert not nodule.alike(topic_of("A mass in the right upper lobe."))
    assert nodule.meets(topic_of("No nodule in the right lung."))
    assert topic_of("No pleural effusion.").alike(topic_of("Pleural fluid was not observed."))
    assert not topic_of("Pericardial effusion.").alike(topic_of("Pleural effusion."))
    assert topic_of("Follow-up of the nodule is recommended.").kinds == 0
    assert not topic_of("The trachea is open.").asserted


def test_rules_read_what_was_drawn():
    """The second generator says what each of its sentences is about; the rules were not made from it."""
    said = {(s.text, s.topic, s.side, s.polarity) for s in draw_phantom(1, style="b").statements}
    findings = [s for s in said if s[3] in ("positive", "uncertain", "absent")]
    denials = [s for s in said if s[3] == "negated"]
    right = {text: topic_of(text) for text, *_ in findings}
    sides = {"left": 1, "right": 2}
    assert sum(t.asserted for t in right.values()) > 0.9 * len(right)
    assert sum(right[text].sides == sides.get(side, 3) for text, _, side, _ in findings) > 0.95 * len(findings)
    assert sum(topic_of(text).asserted for text, *_ in denials) <= 0.1 * len(denials)
    of_topic = {}
    for text, topic, *_ in findings:
        of_topic.setdefault(topic, []).append(right[text].kinds)
    apart = [a & b for t in of_topic for u in of_topic if t < u for a in of_topic[t] for b in of_topic[u]]
    alike = [a & b for kinds in of_topic.values() for a in kinds for b in kinds]
    assert sum(map(bool, alike)) > 0.85 * len(alike)
    assert sum(map(bool, apart)) < 0.05 * len(apart)
