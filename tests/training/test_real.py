"""Real scans become samples whose labels and drawn findings lie where they must."""

from __future__ import annotations

import numpy as np
import pytest
from simcrop_training.data.real import real_sample
from simcrop_training.data.real_scans import abdomen, cip
from simcrop_training.data.sample import CELLS, SAMPLE_LABELS


@pytest.fixture(scope="module")
def chest(real_ct):
    return cip(real_ct("CIP_ct-64"))


def test_lungs_lie_on_their_sides_and_are_air(chest):
    sample = real_sample(chest, 3)
    left, right = (sample.labels == SAMPLE_LABELS.index(f"{side} lung") for side in ("left", "right"))
    assert np.argwhere(left).mean(0)[0] < np.argwhere(right).mean(0)[0]
    assert np.median(sample.image[left]) < -600


def test_what_is_not_labelled_in_the_body_is_other_tissue_and_the_table_is_none(chest):
    """The lobes of this scan are not known: its lungs are sides."""
    sample = real_sample(chest, 3)
    names = [SAMPLE_LABELS[value] for value in sample.known]
    assert names == ["left lung", "right lung", "trachea", "other tissue"]
    assert {SAMPLE_LABELS[value] for value in np.unique(sample.labels)} == {"background", *names}
    tissue = sample.labels == SAMPLE_LABELS.index("other tissue")
    assert -150 < np.median(sample.image[tissue]) < 100
    assert 0.15 < tissue.mean() < 0.7
    middle = tissue[:, :, 56] | (sample.labels[:, :, 56] > 0)
    assert middle[90:134, 80:140].mean() > 0.95, "the trunk has no holes"


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
    there = {SAMPLE_LABELS[value] for value in np.unique(sample.labels)}
    assert {"left lower lobe", "right lower lobe", "liver", "spleen", "aorta", "spine", "other tissue"} <= there
    assert not there & {"left lung", "right lung"}
    assert all(t.polarity == "anatomy" for t in sample.truths)


def test_an_abdomen_is_cut_at_any_height_as_a_long_scan_is(real_ct):
    """Below the lungs there is gas that is no lung."""
    scan = abdomen(real_ct("TotalSegmentator_abdomen"))
    with_lungs, below = real_sample(scan, 2), real_sample(scan, 9)
    lobe = SAMPLE_LABELS.index("right lower lobe")
    assert (with_lungs.labels == lobe).any()
    assert not (below.labels == lobe).any()
    assert (below.labels[:, :, -1] > 0).any(), "the frame ends in the body"
    gas = (below.image < -700) & (below.labels == SAMPLE_LABELS.index("other tissue"))
    assert gas.sum() * 6.75e-3 > 20, "mL"
