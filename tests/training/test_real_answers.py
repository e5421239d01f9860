"""The packaged weights keep what their model card says of LIDC-IDRI-0001."""

from __future__ import annotations

import pytest
from simcrop_training.evaluate.real_scans import MASS, NOWHERE, lidc

from simcrop_core.inference.engine import Engine


@pytest.fixture(scope="module")
def answers(real_ct):
    return lidc(real_ct("LIDC-IDRI-0001"), Engine("starter", "cpu"))


def test_the_mass_is_found_in_all_its_wordings(answers):
    mass = [answer for answer in answers if answer.about == MASS]
    assert [answer.distance_mm for answer in mass] == [0] * 9
    assert sum(answer.evidence in ("weak", "located") for answer in mass) >= 8


def test_what_is_not_there_is_not_located(answers):
    absent = [answer for answer in answers if answer.about == NOWHERE]
    assert len(absent) == 16
    assert {answer.evidence for answer in absent} <= {"not located", "negated"}
    swapped = [answer for answer in absent[:9] if answer.peak_side]
    assert {answer.peak_side for answer in swapped} == {"right"}


def test_parts_of_the_body_are_where_another_network_saw_them(answers):
    """Also by nothing but their names: "The liver.", "Left lower lobe.", "Aortic arch."."""
    parts = [answer for answer in answers if answer.about not in (MASS, NOWHERE)]
    assert len(parts) == 13
    assert sum(answer.distance_mm == 0 for answer in parts) >= 12
    assert {answer.about: answer.distance_mm for answer in parts[-3:]} == {
        "liver": 0, "left lower lobe": 0, "aortic arch": 0,
    }  # fmt: skip
