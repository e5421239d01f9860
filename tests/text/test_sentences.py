from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.text.sentences import logical_lines, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "A 3.5 mm nodule is seen in the right upper lobe. No pleural effusion.",
            ["A 3.5 mm nodule is seen in the right upper lobe.", "No pleural effusion."],
        ),
        ("1. Emphysema  2. Atelectasis", ["Emphysema", "Atelectasis"]),
        ("Not given.", []),
        ("", []),
        ("  \n\n ", []),
        ("Emphysema; no nodule! Cyst?", ["Emphysema;", "no nodule!", "Cyst?"]),
        ('Emphysema""Hiatal hernia', ["Emphysema", "Hiatal hernia"]),
        ("Emphysema.No effusion.", ["Emphysema.", "No effusion."]),
        ("Wedge deformity of T4-5. The ribs are intact.", ["Wedge deformity of T4-5.", "The ribs are intact."]),
        ("Fracture of the 8. rib on the left.", ["Fracture of the 8. rib on the left."]),
        ("Nodule of 4 mm. in the lingula.", ["Nodule of 4 mm. in the lingula."]),
        ("Nodule of 4 mm. No cavity.", ["Nodule of 4 mm.", "No cavity."]),
        ("Tumour vs. Infection of the RUL.", ["Tumour vs. Infection of the RUL."]),
        ("Signs of infection, e.g. tree-in-bud.", ["Signs of infection, e.g. tree-in-bud."]),
        ("Node (approx. 12 mm; station 4R. Stable) is seen.", ["Node (approx. 12 mm; station 4R. Stable) is seen."]),
        ("Nodule (se. 4, im. 112) in the lingula.", ["Nodule (se. 4, im. 112) in the lingula."]),
        ("Degenerative changes. T4-5.", ["Degenerative changes. T4-5."]),
        ("No PE. No DVT.", ["No PE.", "No DVT."]),
        ("Pleura:\nNormal.", ["Pleura: Normal."]),
        ("1. Emphysema. 2. Nodule, 3 mm. 3. Cyst.", ["Emphysema.", "Nodule, 3 mm.", "Cyst."]),
        ("1. Emphysema 2. Nodule in segment 3. Stable", ["Emphysema", "Nodule in segment 3.", "Stable"]),
        ("- Emphysema\n- Nodule\n• Cyst", ["Emphysema", "Nodule", "Cyst"]),
        ("1) Emphysema\n2) Nodule", ["Emphysema", "Nodule"]),
        ("(a) Emphysema", ["(a) Emphysema"]),
        ("Emphysema\nNodule", ["Emphysema", "Nodule"]),
        ("A nodule is seen in the right\nupper lobe. Cyst.", ["A nodule is seen in the right upper lobe.", "Cyst."]),
        ("There is a nodule in the\nRUL.", ["There is a nodule in the RUL."]),
        ("Bilateral ground-\nglass opacities.", ["Bilateral ground-glass opacities."]),
        ("There is  a nodule.", ["There is a nodule."]),
        ("Scars.\r\nCysts.\r\n", ["Scars.", "Cysts."]),
        ("Hello... There is a cyst.", ["Hello...", "There is a cyst."]),
    ],
)
def test_a_text_breaks_where_its_sentences_end(text, sentences):
    assert split_sentences(text) == sentences


def test_a_long_wrapped_line_goes_on_before_a_small_letter_and_stops_before_a_capital():
    text = (
        "There is an irregular opacity that extends along the pleura and\n"
        "touches the diaphragm\n"
        "Hiatal hernia with part of the stomach above the diaphragm\n"
        "Gallstones"
    )
    assert split_sentences(text) == [
        "There is an irregular opacity that extends along the pleura and touches the diaphragm",
        "Hiatal hernia with part of the stomach above the diaphragm",
        "Gallstones",
    ]


def test_blank_lines_stay_visible_to_whoever_reads_the_structure():
    assert logical_lines("Pleura:\n\nNormal.") == ["Pleura:", "", "Normal."]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_no_text_loses_a_word_of_three_letters_or_breaks_the_splitter(text):
    """Only list markers and placeholders may go: every longer word of the text is in some sentence, in order."""
    kept = " ".join(split_sentences("Nodule. " + text))
    for word in (word for word in text.split() if word.isalpha() and len(word) > 12):
        assert word in kept


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["Emphysema.", "Nodule of 3.5 mm.", "No effusion.", "Cyst, e.g. here."]), max_size=8))
def test_joining_sentences_and_splitting_them_again_gives_them_back(sentences):
    for separator in (" ", "\n", "  "):
        assert split_sentences(separator.join(sentences)) == sentences
