"""A short form says of a sentence what is there and where, and never another place."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.phantom.style_a.choose import DEVICES as STYLE_A_DEVICES
from simcrop_core.phantom.style_a.choose import STATIONS
from simcrop_core.phantom.style_a.draw import decide
from simcrop_core.phantom.style_a.finding import Finding as StyleAFinding
from simcrop_core.phantom.style_a.wording import organs, sentences
from simcrop_core.phantom.style_b.filling import filled
from simcrop_core.phantom.style_b.finding import GRADES
from simcrop_core.phantom.style_b.finding import Finding as StyleBFinding
from simcrop_core.phantom.style_b.phrases import CHANGES, PHRASES
from simcrop_core.phantom.style_b.untrue import IN_A_LOBE, PLEURAL
from simcrop_core.phantom.truth import LOBES
from simcrop_core.text.assertion import polarity_of
from simcrop_core.text.findings import finding_sentences
from simcrop_core.text.location import lobe_of, side_of
from simcrop_core.text.reference import reference_sentences
from simcrop_core.text.report import parse_sentence
from simcrop_core.text.short_form import closed, short_form
from simcrop_core.text.structure import named_structure

_TABLE = Path(__file__).with_name("short_forms.txt")
# Sentences with these may have no short form: the rules do not know every word for air or fluid, or for a device.
_UNKNOWN_WORDS = (
    "pleural air", "air in the", "hydrothorax", "cuffing", "thickness increases", "fluid in the pleural space",
    "is available", "are available",
)  # fmt: skip
_LUNG_KINDS = sorted(set(IN_A_LOBE))
_NOTHING = np.zeros(0, dtype=np.int32)
# Words that a short form must not take from a sentence.
_LEFT_OUT = ("mm", "cm", "possible", "unchanged", "seen", "observed", "compared", "previous", "measuring", "series")

_WORDS = ("no", "mass", "left", "in", "the", "RUL", "and", "nodule", ",", ";", "with", "LLL", "right", "but", "not")

lobes = st.sampled_from(LOBES[1:])
seeds = st.integers(0, 2**31)


def _rows() -> list[tuple[str, str]]:
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    return [(a.strip(), b.strip()) for a, b in (line.split("|") for line in lines if not line.startswith("#"))]


@pytest.mark.parametrize(("sentence", "short"), _rows(), ids=lambda cell: cell[:60])
def test_a_sentence_has_the_short_form_that_a_reader_would_give_it(sentence, short):
    assert (short_form(sentence) or "-") == short


def test_the_table_has_at_least_sixty_sentences():
    assert len({sentence for sentence, _ in _rows()}) == len(_rows()) >= 60


def assert_it_says_the_same(sentence):
    """The side, lobe and denial of a short form are those of its sentence; its own short form is itself."""
    short = short_form(sentence)
    if short is None:
        return
    whole = parse_sentence(sentence)
    assert side_of(short) == whole.side, (sentence, short)
    assert lobe_of(short) == whole.lobe, (sentence, short)
    assert (polarity_of(short) == "negated") == (whole.polarity == "negated"), (sentence, short)
    assert short.startswith("No ") == (whole.polarity == "negated"), (sentence, short)
    assert not set(_LEFT_OUT) & set(short.lower().rstrip(".").split()), (sentence, short)


@st.composite
def style_a_sentences(draw):
    """A finding of a lobe, a side or the midline, and what style a says of it."""
    rng = np.random.default_rng(draw(seeds))
    lobe = draw(lobes)
    side = lobe.split(" ")[0]
    kind = draw(st.sampled_from([*_LUNG_KINDS, *PLEURAL, "lymphadenopathy", "cardiomegaly", "medical device"]))
    f = StyleAFinding(
        kind, side if kind in (*_LUNG_KINDS, *PLEURAL) else "", lobe if kind in _LUNG_KINDS else "",
        size_mm=draw(st.sampled_from([0.0, 8.0, 31.0])), severity=draw(st.sampled_from(["", "mild", "severe"])),
    )  # fmt: skip
    if kind == "lymphadenopathy":
        station = draw(st.sampled_from(sorted(STATIONS)))
        side = next((s for s in ("left", "right") if station.startswith(s)), "")
        f = StyleAFinding(kind, side, place=station, size_mm=14.0)
    if kind == "medical device":
        f = StyleAFinding(kind, looks=draw(st.sampled_from(STYLE_A_DEVICES)))
    say = draw(st.sampled_from([sentences.positive, sentences.uncertain, sentences.comparison]))
    return f, say(f, rng)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(said=style_a_sentences())
def test_style_a_keeps_its_side_and_lobe(said):
    """Beside what the rules read: what the phantom has."""
    finding, sentence = said
    assert_it_says_the_same(sentence)
    short = short_form(sentence)
    if short is None:
        assert finding.kind == "medical device" or any(w in sentence.lower() for w in (*_UNKNOWN_WORDS, "increased"))
    elif finding.kind != "medical device":
        assert (side_of(short) or "") == finding.side, (sentence, short)
        assert lobe_of(short) in (finding.lobe, None, "lingula"), (sentence, short)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=seeds, first=lobes, second=lobes)
def test_of_two_findings_each_keeps_its_own_place(seed, first, second):
    rng = np.random.default_rng(seed)
    nodule = StyleAFinding("nodule", first.split(" ")[0], first, size_mm=9.0)
    band = StyleAFinding("fibrotic band", second.split(" ")[0], second)
    sentence = sentences.together(nodule, band, rng)
    short = short_form(sentence)
    assert short is not None, sentence
    parts = short.split(" and ")
    if first == second:
        assert short.endswith(f" in the {first}."), (sentence, short)
    else:
        assert [lobe_of(part) for part in parts] == [first, second], (sentence, short)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(kinds=st.lists(st.sampled_from(_LUNG_KINDS), min_size=1, max_size=3, unique=True), seed=seeds)
def test_what_style_a_denies_stays_denied(kinds, seed):
    sentence = sentences.negated(kinds, np.random.default_rng(seed))
    assert_it_says_the_same(sentence)
    short = short_form(sentence)
    assert short is not None or any(word in sentence.lower() for word in _UNKNOWN_WORDS), sentence


def _style_b_templates():
    for kind, phrases in PHRASES.items():
        for template in (*phrases.found, *phrases.doubted, *phrases.excluded):
            yield kind, template
        for change in CHANGES:
            yield kind, change.format(noun=phrases.noun, Noun=phrases.noun[:1].upper() + phrases.noun[1:])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lobe=lobes, size_mm=st.floats(4, 60), grade=st.sampled_from(GRADES), data=st.data())
def test_every_phrasing_of_style_b_keeps_its_side_and_lobe(lobe, size_mm, grade, data):
    side = lobe.split(" ")[0]
    for kind, template in data.draw(st.lists(st.sampled_from(list(_style_b_templates())), min_size=5, max_size=5)):
        own = (side, lobe) if kind in IN_A_LOBE else (side, "") if kind in PLEURAL else ("", "")
        form = "solid" if kind != "medical device" else "port"
        sentence = filled(template, StyleBFinding(kind, *own, _NOTHING, grade, form, "subcarinal", size_mm))
        assert_it_says_the_same(sentence)


def test_nearly_every_phrasing_of_style_b_about_a_lobe_or_the_pleura_has_a_short_form():
    told = {
        filled(template, StyleBFinding(kind, "left", "left lower lobe", _NOTHING, "mild", "solid", "", 12.0))
        for kind, template in _style_b_templates()
        if kind in (*IN_A_LOBE, *PLEURAL)
    }
    without = {sentence for sentence in told if short_form(sentence) is None}
    assert all(any(word in sentence.lower() for word in _UNKNOWN_WORDS) for sentence in without), without
    assert len(without) < 0.05 * len(told)


@pytest.mark.parametrize("region", organs.ANATOMY)
def test_naming_a_part_of_the_body_in_any_way_has_one_short_form(region):
    """Every name in every sentence that style a writes of it: the lobes', the liver's, the aorta's own one name."""
    rng = np.random.default_rng(0)
    said = [*organs.ANATOMY[region], *(organs.anatomy(region, rng) for _ in range(60))]
    assert len({short_form(sentence) for sentence in said}) == 1, {short_form(s) for s in said}
    assert_it_names(region, short_form(said[0]))


@pytest.mark.parametrize("region", organs.NORMAL)
def test_a_normal_organ_is_named_and_no_other(region):
    for sentence in organs.NORMAL[region][0]:
        short = short_form(sentence)
        if short is not None and parse_sentence(sentence).polarity != "negated":
            assert_it_names(region, short)


def assert_it_names(region, short):
    assert short is not None
    assert short.rstrip(".").lower() == ("esophagus" if region == "oesophagus" else region)
    assert named_structure(short) == short.rstrip(".").lower(), "the name of a name is the name"


@pytest.mark.parametrize(
    "sentence",
    [
        "Heart and great vessels are normal.",
        "Liver and spleen.",
        "Metastases to the liver.",
        "The sternum is split.",
        "Hydrothorax beside the left lung.",
        "The right lung is smaller than the left lung.",
        "Peribronchial cuffing in the left lower lobe.",
        "Situs inversus.",
    ],
)
def test_what_says_more_of_a_part_than_that_it_is_there_is_not_its_name(sentence):
    assert named_structure(sentence) is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sentence=st.text(max_size=60))
def test_a_full_stop_more_or_less_is_the_same_sentence(sentence):
    assert closed(closed(sentence)) == closed(sentence)
    assert closed(sentence.rstrip().rstrip(".?! ,;:") + ".") == closed(sentence.rstrip().rstrip(".?! ,;:"))


def test_the_sentences_of_whole_phantoms_and_of_the_banks_keep_their_place():
    findings = [s.grounding_text for f in finding_sentences() for s in (*f.positive, *f.negated)]
    said = [s.text for s in decide(40, most_findings=9).said]
    for sentence in (*findings[::2], *reference_sentences()[::4], *said[::2]):
        assert_it_says_the_same(sentence)


def test_wordings_of_one_mass_have_one_short_form():
    wordings = (
        "LLL mass, 32 mm.",
        "There is a mass in the left lower lobe.",
        "In the lower lobe of the left lung, a mass was observed.",
        "Left lower lobe: mass measuring 3.2 x 2.8 cm (image 45).",
        "A mass in the superior segment of the left lower lobe is suspected.",
        "The mass in the LLL is unchanged.",
    )
    assert {short_form(wording) for wording in wordings} == {"Mass in the left lower lobe."}


@pytest.mark.parametrize("text", ["", "   ", "()", "(GGO)", "?", "3 x 2 cm", "É" * 400, "no " * 300])
def test_odd_texts_have_none(text):
    assert short_form(text) is None


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(_WORDS)))
def test_any_row_of_words_keeps_its_place(words):
    assert_it_says_the_same(" ".join(words))


def test_a_short_form_takes_a_few_milliseconds():
    said = reference_sentences()[:50]
    started = time.process_time()
    for sentence in said:
        short_form(sentence)
    assert (time.process_time() - started) / len(said) < 0.02, "2 ms of an idle core"
