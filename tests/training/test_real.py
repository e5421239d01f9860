"""Real scans become samples whose labels and drawn findings lie where they must."""

from __future__ import annotations

import numpy as np
import pytest
from simcrop_training.data.real import real_sample
from simcrop_training.data.real_scans import abdomen, cip
from simcrop_training.data.sample import CELLS


@pytest.fixture(scope="module")
def chest(real_ct):
    return cip(real_ct("CIP_ct-64"))


def test_lungs_lie_on_their_sides_and_are_air(chest):
    sample = real_sample(chest, 3)
    left, right = (np.argwhere(sample.labels == i).mean(0)[0] for i in (1, 2))
    assert left < right
    assert np.median(sample.image[sample.labels == 1]) < -600


def test_findings_drawn_into_it_lie_on_the_side_they_name(chest):
    said = [t for seed in (1, 4) for t in real_sample(chest, seed).truths if t.polarity == "positive" and t.side]
    assert said
    for truth in said:
        x = np.average(np.unravel_index(truth.cells, CELLS)[0], weights=truth.counts)
        assert (x < CELLS[0] / 2) == (truth.side == "left"), truth.text


def test_an_abdomen_teaches_organs_and_claims_nothing_of_the_lungs(real_ct):
    sample = real_sample(abdomen(real_ct("TotalSegmentator_abdomen")), 2)
    topics = {t.topic: t for t in sample.truths}
    assert {"liver", "spine"} <= topics.keys()
    assert all(t.polarity == "anatomy" for t in sample.truths)
