from __future__ import annotations

import time

import pytest

from simcrop_core.errors import NothingToGround
from simcrop_core.results import ImageReference
from simcrop_core.text.headings import section_heading
from simcrop_core.text.report import parse_report, parse_sentence

_REPORT = """CT CHEST

CLINICAL INFORMATION: 67-year-old smoker with haemoptysis. Mass on radiograph?
TECHNIQUE: Axial images of 1 mm were obtained after 70 ml of contrast medium.
COMPARISON: CT of 2 February 2023.

FINDINGS:
Lungs and airways: A spiculated mass of 34 mm is seen in the superior
segment of the left lower lobe (series 4, image 112). No change in the 6 mm nodule in the RUL.
Pleura: Normal.
Mediastinum:
Enlarged subcarinal lymph node, 14 mm. The heart is not enlarged.
Small pericardial effusion.

Degenerative changes of the spine.

IMPRESSION:
1. Mass in the left lower lobe, suspicious for malignancy.
2. Enlarged subcarinal node; metastasis cannot be excluded.
3. PET-CT is recommended.

RECOMMENDATION: Discussion in the tumour board.

Electronically signed by Dr. A. Example
"""


@pytest.fixture(scope="module")
def statements():
    return parse_report(_REPORT)


def test_a_whole_report_gives_every_sentence_its_section_heading_and_assertion(statements):
    read = [(s.section, s.heading, s.polarity, s.kind, s.text) for s in statements]
    lungs = "Lungs and airways"
    assert read == [
        ("clinical information", "", "positive", "technique", "67-year-old smoker with haemoptysis."),
        ("clinical information", "", "uncertain", "technique", "Mass on radiograph?"),
        (
            "technique",
            "",
            "positive",
            "technique",
            "Axial images of 1 mm were obtained after 70 ml of contrast medium.",
        ),
        ("comparison", "", "positive", "comparison", "CT of 2 February 2023."),
        (
            "findings",
            lungs,
            "positive",
            "finding",
            "Lungs and airways: A spiculated mass of 34 mm is seen in the superior segment of the left lower lobe"
            " (series 4, image 112).",
        ),
        ("findings", lungs, "positive", "finding", "No change in the 6 mm nodule in the RUL."),
        ("findings", "Pleura", "normal", "finding", "Pleura: Normal."),
        ("findings", "Mediastinum", "positive", "finding", "Enlarged subcarinal lymph node, 14 mm."),
        ("findings", "Mediastinum", "negated", "finding", "The heart is not enlarged."),
        ("findings", "Mediastinum", "positive", "finding", "Small pericardial effusion."),
        ("findings", "", "positive", "finding", "Degenerative changes of the spine."),
        ("impression", "", "positive", "finding", "Mass in the left lower lobe, suspicious for malignancy."),
        ("impression", "", "positive", "finding", "Enlarged subcarinal node;"),
        ("impression", "", "uncertain", "finding", "metastasis cannot be excluded."),
        ("impression", "", "positive", "recommendation", "PET-CT is recommended."),
        ("other", "", "positive", "recommendation", "Discussion in the tumour board."),
        ("other", "", "positive", "technique", "Electronically signed by Dr. A. Example"),
    ]


def test_what_is_embedded_carries_its_heading_once(statements):
    embedded = {s.text: s.grounding_text for s in statements}
    assert embedded["Pleura: Normal."] == "Pleura: Normal."
    assert embedded["Small pericardial effusion."] == "Mediastinum: Small pericardial effusion."
    assert embedded["Degenerative changes of the spine."] == "Degenerative changes of the spine."


def test_the_image_reference_and_the_lobe_come_with_the_sentence(statements):
    mass = next(s for s in statements if "spiculated" in s.text)
    assert (mass.side, mass.lobe, mass.region) == ("left", "left lower lobe", "chest")
    assert mass.reference == ImageReference(series=4, image=112)


def test_a_text_without_sections_is_all_findings():
    statements = parse_report("5 mm nodule in the lingula. No effusion.")
    assert [(s.section, s.lobe, s.polarity) for s in statements] == [
        ("findings", "lingula", "positive"),
        ("findings", None, "negated"),
    ]


def test_sections_and_headings_may_all_stand_on_one_line():
    statements = parse_report(
        "TECHNIQUE: Non-contrast CT. FINDINGS: Lungs: Clear. Pleura: No effusion. Impression: Normal chest CT."
    )
    assert [(s.section, s.heading, s.polarity) for s in statements] == [
        ("technique", "", "positive"),
        ("findings", "Lungs", "normal"),
        ("findings", "Pleura", "negated"),
        ("impression", "", "normal"),
    ]


@pytest.mark.parametrize("title", ["FINDINGS:", "Findings", "**Findings:**", "## Findings", "Findings and impression:"])
def test_a_section_title_is_known_in_capitals_markdown_or_plain(title):
    (statement,) = parse_report(f"History: Cough.\n{title}\nEmphysema.")[1:]
    assert (statement.section, statement.text) == ("findings", "Emphysema.")


@pytest.mark.parametrize(
    ("sentence", "heading"),
    [
        ("Pleura: Normal.", "Pleura"),
        ("LUNGS AND AIRWAYS: Clear.", "LUNGS AND AIRWAYS"),
        ("Right lung: 5 mm nodule.", "Right lung"),
        ("Liver, spleen & pancreas: unremarkable", "Liver, spleen & pancreas"),
        ("Upper abdomen (partly imaged): Gallstones.", "Upper abdomen (partly imaged)"),
        ("Two nodules: one in the RUL, one in the lingula.", ""),
        ("The largest measures as follows: 9 mm.", ""),
        ("Signal at 10:30 in the breast.", ""),
        ("Other: hiatal hernia.", ""),
    ],
)
def test_only_organs_and_capitals_make_a_heading(sentence, heading):
    assert parse_sentence(sentence).heading == heading


def test_a_heading_gives_a_sentence_its_side_lobe_and_region():
    statement = parse_sentence("7 mm nodule in the lower lobe.", heading="Right lung:")
    assert (statement.side, statement.lobe, statement.region) == ("right", "right lower lobe", "chest")
    assert statement.grounding_text == "Right lung: 7 mm nodule in the lower lobe."


def test_a_denied_clause_does_not_lend_its_side():
    assert parse_sentence("No effusion on the left, but a small one on the right.").side == "right"


def test_a_heading_of_one_line_does_not_reach_the_next():
    first, second = parse_report("Pleura: Normal.\nDegenerative spine.")
    assert (first.heading, second.heading) == ("Pleura", "")


def test_a_report_in_capitals_loses_no_finding_to_a_heading():
    statements = parse_report(
        "FINDINGS:\nTHERE IS A MASS IN THE\nRIGHT UPPER LOBE.\nHEART\nNORMAL SIZE.\n"
        "IMPRESSION:\nCARDIOMEGALY\nPULMONARY EMBOLISM\nNO PLEURAL EFFUSION"
    )
    assert [(s.section, s.heading, s.polarity, s.text) for s in statements] == [
        ("findings", "", "positive", "THERE IS A MASS IN THE RIGHT UPPER LOBE."),
        ("findings", "HEART", "normal", "NORMAL SIZE."),
        ("impression", "", "positive", "CARDIOMEGALY"),
        ("impression", "", "positive", "PULMONARY EMBOLISM"),
        ("impression", "", "negated", "NO PLEURAL EFFUSION"),
    ]


def test_a_translated_report_in_one_paragraph():
    """Long paragraphs, a window named before the lungs, wide gaps between parts."""
    statements = parse_report(
        "Trachea and both main bronchi are open. Pericardial effusion-thickening was not observed. When examined in the"
        " lung parenchyma window; a nodule of 4 mm was observed in the laterobasal segment of the left lower lobe.  In"
        " the upper abdominal organs included in the sections, no pathology was detected."
    )
    assert [(s.polarity, s.kind, s.lobe, s.region) for s in statements] == [
        ("normal", "finding", None, "chest"),
        ("negated", "finding", None, "chest"),
        ("positive", "technique", None, "chest"),
        ("positive", "finding", "left lower lobe", "chest"),
        ("negated", "finding", None, "upper abdomen"),
    ]


@pytest.mark.parametrize("text", ["", "  \n", "Findings: Not given.", "IMPRESSION:\n"])
def test_a_report_that_says_nothing_has_no_statement(text):
    assert parse_report(text) == []


@pytest.mark.parametrize("title", ["CLINICAL INFORMATION", "Clinical information", "FINAL IMPRESSION", "Prior studies"])
def test_a_title_of_two_words_stays_whole(title):
    for before in ("", "CT CHEST\n\n", "Chest CT. "):
        statement = parse_report(f"{before}{title}: Something.")[-1]
        assert statement.text == "Something."
        assert statement.section == section_heading(f"{title}:")[0]


def test_an_empty_sentence_is_refused():
    with pytest.raises(NothingToGround):
        parse_sentence(" \n")


@pytest.mark.parametrize(
    "word", ["no significant ", "right upper, ", "that do not reach ", "image ", "(", "ct is ", "1. A "]
)
def test_a_page_of_one_repeated_phrase_takes_no_time(word):
    """No rule runs away on text it does not expect."""
    start = time.process_time()
    parse_report(word * 500)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "unit", ["\n", "  ", ".", "?! ", "1. ", "1) A ", "(a). ", "and\n", "AND\n", "Lungs: ", "No effusion. ", "T4-5. "]
)
def test_a_long_report_takes_time_by_its_length_not_by_its_square(unit):
    """A service reads up to 100,000 characters of anybody's; twice as many may not take four times as long."""

    def seconds(length):
        text = unit * (length // len(unit)) + "b"
        start = time.process_time()
        parse_report(text)
        return time.process_time() - start

    seconds(100)
    assert seconds(20_000) < 1.5
