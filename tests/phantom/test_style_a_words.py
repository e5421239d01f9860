"""What style a says is true where it claims to be, and reads as the project's own text rules read it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.phantom.style_a.choose import DEVICES
from simcrop_core.phantom.style_a.draw import decide
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.say import _together, _untrue, clashes
from simcrop_core.phantom.style_a.wording import sentences
from simcrop_core.phantom.style_a.wording.organs import ANATOMY, NORMAL
from simcrop_core.phantom.truth import KIND_LABELS, LOBES
from simcrop_core.text.report import parse_sentence
from simcrop_core.text.sentences import split_sentences

POINTING = ("positive", "uncertain", "comparison", "normal", "anatomy")


@pytest.fixture(scope="module")
def plans():
    return [decide(seed, most_findings=9) for seed in range(40, 48)]


def test_there_are_enough_sentences_of_every_polarity(plans):
    for plan in plans:
        count = defaultdict(int)
        for s in plan.said:
            count[s.polarity] += 1
        assert 3 * len(plan.findings) <= count["positive"] <= 3 * len(plan.findings) + 3
        assert count["uncertain"] == len(plan.findings)
        assert count["absent"] >= 10
        assert count["negated"] >= 8
        assert count["normal"] >= 3
        assert count["anatomy"] >= 25
    assert any(s.polarity == "comparison" for plan in plans for s in plan.said)


def in_the_way(findings, said):
    """Findings that would make an untrue sentence true: where it names a lobe, those in that lobe or in none."""
    named = parse_sentence(said.text).lobe is not None
    return [f for f in findings if not (named and said.lobe and f.lobe) or f.lobe == said.lobe]


def test_what_is_absent_or_negated_points_nowhere_and_was_not_drawn(plans):
    for plan in plans:
        for s in plan.said:
            if s.polarity in ("absent", "negated"):
                assert not s.findings
                assert not s.region
                assert not clashes(in_the_way(plan.findings, s), s.topic, s.side, s.lobe), s.text
            else:
                assert s.findings or s.region


def test_a_sentence_points_at_all_it_could_mean(plans):
    """A sentence about a kind on a side points at every finding of that kind there, unless it names the lobe."""
    for plan in plans:
        for s in plan.said:
            if s.polarity not in ("positive", "uncertain") or not s.lobe:
                continue
            lobe = parse_sentence(s.text).lobe
            meant = {
                i
                for i, f in enumerate(plan.findings)
                if f.kind == s.topic and f.side in (s.side, "") and (lobe is None or f.lobe in (s.lobe, ""))
            }
            assert set(s.findings) == meant, s.text


def test_a_sentence_about_two_findings_points_at_both(plans):
    """Each on its side, whatever is said of the other; nothing else is claimed."""
    rng = np.random.default_rng(0)
    effusion = Finding("pleural effusion", "left", severity="small")
    mass = Finding("mass", "right", "right upper lobe", size_mm=40.0)
    band = Finding("fibrotic band", "right", "right upper lobe")
    texts = {s.text: s.findings for _ in range(40) for s in _together((effusion, mass, band), rng)}
    assert len(texts) > 30
    for text, findings in texts.items():
        read = parse_sentence(text)
        assert read.polarity == "positive", text
        assert len(findings) == 2
        assert read.side == ("bilateral" if 0 in findings else "right"), text
        assert read.lobe == "right upper lobe", text
    assert any(len(s.findings) > 1 and not s.lobe and s.polarity == "positive" for plan in plans for s in plan.said)


def test_every_focal_finding_is_also_said_and_denied_elsewhere_in_its_lung_and_in_the_other():
    f = Finding("mass", "left", "left lower lobe", size_mm=40.0)
    rng = np.random.default_rng(0)
    said = _untrue((f,), rng)
    assert {s.lobe for s in said if s.topic == "mass" and s.polarity == "absent"} >= {
        "left upper lobe",
        "right lower lobe",
    }
    (denial,) = (s for s in said if s.polarity == "negated")
    assert (denial.topic, denial.lobe, parse_sentence(denial.text).lobe) == (
        "mass",
        "left upper lobe",
        "left upper lobe",
    )


def test_the_projects_rules_read_every_sentence_as_it_was_meant(plans):
    for plan in plans:
        for s in plan.said:
            read = parse_sentence(s.text)
            if s.polarity in ("positive", "absent"):
                assert read.polarity == "positive", s.text
            if s.polarity in ("uncertain", "negated"):
                assert read.polarity == s.polarity, s.text
            if s.polarity == "normal":
                assert read.polarity in ("normal", "negated") or "midline" in s.text, s.text
            if s.side and s.polarity != "anatomy":
                assert read.side == s.side, s.text
            if not s.side:
                assert read.side in (None, "bilateral"), s.text
            if s.lobe and read.lobe is not None:
                assert read.lobe in (s.lobe, "lingula"), s.text


def test_voxels_lie_on_the_side_and_in_the_lobe_that_is_said(phantoms):
    for phantom in phantoms:
        middle = np.argwhere(phantom.labels == 8)[:, 0].mean()
        for s in phantom.statements:
            assert (s.voxels.size > 0) == (s.polarity in POINTING), s.text
            if s.polarity not in POINTING:
                continue
            if s.side and s.topic != "lymphadenopathy":
                x = np.unravel_index(s.voxels, phantom.image.shape)[0].mean()
                assert (x < middle) == (s.side == "left"), s.text
            if s.polarity == "anatomy" and s.lobe:
                assert np.array_equal(s.voxels, np.flatnonzero(phantom.lobes == LOBES.index(s.lobe)))


def test_the_report_holds_true_sentences_only(plans):
    for plan in plans:
        true = {s.text for s in plan.said if s.polarity in ("positive", "uncertain", "comparison", "negated", "normal")}
        for section in (plan.report.findings, plan.report.impression):
            for sentence in split_sentences(section):
                said = {sentence, sentence.removesuffix("."), sentence + "."}
                assert said & true or (section == plan.report.impression and not plan.findings), sentence


def test_the_report_names_every_finding_and_ends_with_what_matters(plans):
    for plan in plans:
        text = plan.report.findings
        for i, f in enumerate(plan.findings):
            assert any(i in s.findings and s.text.removesuffix(".") in text for s in plan.said), f
        assert plan.report.impression
        assert plan.report.clinical_information
        contrast = "without contrast" not in plan.report.technique and "contrast" in plan.report.technique.lower()
        contrast = contrast and "non-contrast" not in plan.report.technique.lower()
        assert contrast == (plan.body.contrast.phase != "none")
    normal = [plan for plan in (decide(seed, most_findings=0) for seed in range(2)) if not plan.findings]
    assert normal
    assert all("ormal" in p.report.impression or "No significant" in p.report.impression for p in normal)


def test_every_organ_and_region_has_words():
    assert {name for name in LOBES if name != "none"} <= set(ANATOMY)
    assert set(NORMAL) <= set(ANATOMY)
    for texts in ANATOMY.values():
        assert len(texts) >= 2


@pytest.mark.parametrize("kind", list(KIND_LABELS))
def test_every_finding_can_be_said_in_many_ways(kind):
    rng = np.random.default_rng(0)
    f = Finding(kind, "right", "right upper lobe", "apex", 12.0, severity="mild")
    if kind == "medical device":
        f = Finding(kind, looks="pacemaker")
    elif kind in ("pleural effusion", "pneumothorax"):
        f = Finding(kind, "right", severity="small")
    elif kind in ("cardiomegaly", "pericardial effusion", "hiatal hernia", "arterial calcification",
                  "coronary calcification"):  # fmt: skip
        f = Finding(kind, severity="mild")
    elif kind == "lymphadenopathy":
        f = Finding(kind, place="subcarinal", size_mm=15)
    assert len({sentences.positive(f, rng) for _ in range(150)}) >= 20
    assert len({sentences.uncertain(f, rng) for _ in range(80)}) >= 10
    assert len({sentences.negated([kind], rng) for _ in range(100)}) >= 10


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(sorted(KIND_LABELS)),
    severity=st.sampled_from(["", "mild", "severe", "large"]),
    several=st.booleans(),
)
def test_sentences_are_well_formed(seed, kind, severity, several):
    rng = np.random.default_rng(seed)
    several = several and kind in ("nodule", "lymphadenopathy")
    looks = DEVICES[seed % len(DEVICES)] if kind == "medical device" else ""
    f = Finding(kind, "left", "left lower lobe", "superior segment", 17.0, looks, severity, several)
    for text in (sentences.positive(f, rng), sentences.uncertain(f, rng), sentences.negated([kind], rng)):
        assert text == " ".join(text.split())
        assert text[0] == text[0].upper()
        assert text.endswith(".")
        for wrong in ("{", "..", " .", " ,", " a a ", "a areas", "a an ", "An n", "is are", "no a "):
            assert wrong not in text, text
