"""Scans that know only part of a network's labels, or only a union of some, teach what they know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from simcrop_training.data.sample import SAMPLE_LABELS, known_labels
from simcrop_training.objectives.known_labels import as_known, grouping

from simcrop_core.models.structures import CHEST_LABELS

SIDES_ONLY = known_labels("left lung", "right lung", "trachea", "other tissue")


def named(groups):
    return [{CHEST_LABELS[value] for value in group} for group in groups]


def test_a_scan_that_knows_all_labels_leaves_scores_and_labels_as_they_are():
    everything = tuple(range(1, len(CHEST_LABELS)))
    scores, labels = torch.randn(2, len(CHEST_LABELS), 3), torch.randint(0, len(CHEST_LABELS), (2, 3))
    known = grouping(CHEST_LABELS, everything)
    assert known.groups == tuple((value,) for value in range(len(CHEST_LABELS)))
    same, numbers = as_known(scores, labels, known)
    assert torch.equal(same, scores)
    assert torch.equal(numbers[:, 0], labels)


def test_lobes_of_a_scan_that_knows_sides_are_those_sides_and_its_organs_other_tissue():
    left, right = {"left upper lobe", "left lower lobe"}, {"right upper lobe", "right middle lobe", "right lower lobe"}
    known = grouping(CHEST_LABELS, SIDES_ONLY)
    organs = set(CHEST_LABELS) - left - right - {"background", "trachea"}
    assert named(known.groups) == [{"background"}, left, right, {"trachea"}, organs]
    assert [known.number[value] for value in SIDES_ONLY] == [1, 2, 3, 4]


def test_without_other_tissue_the_rest_hides_in_the_background():
    known = grouping(CHEST_LABELS, known_labels("left lung", "liver"))
    assert named(known.groups)[1:] == [{"left upper lobe", "left lower lobe"}, {"liver"}]
    assert {"background", "other tissue", "right upper lobe", "heart"} <= named(known.groups)[0]


def test_a_group_scores_as_much_as_its_labels_together():
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=(1, len(CHEST_LABELS), 5)))
    labels = torch.tensor(
        [[SAMPLE_LABELS.index(n) for n in ("background", "left lung", "right lung", "trachea", "other tissue")]]
    )
    known = grouping(CHEST_LABELS, SIDES_ONLY)
    merged, numbers = as_known(scores, labels, known)
    shares, all_shares = merged.softmax(1)[0].numpy(), scores.softmax(1)[0].numpy()
    expected = [all_shares[list(group)].sum(0) for group in known.groups]
    np.testing.assert_allclose(shares, expected, rtol=1e-9)
    assert numbers[0, 0].tolist() == [0, 1, 2, 3, 4]


def test_which_lobe_of_a_known_side_makes_no_difference_to_the_loss():
    scores = torch.zeros(1, len(CHEST_LABELS), 1, requires_grad=True)
    labels = torch.tensor([[SAMPLE_LABELS.index("right lung")]])
    merged, numbers = as_known(scores, labels, grouping(CHEST_LABELS, SIDES_ONLY))
    torch.nn.functional.cross_entropy(merged, numbers[:, 0]).backward()
    lobes = scores.grad[0, 3:6, 0]
    assert (lobes < 0).all()
    assert lobes.tolist() == pytest.approx([lobes[0].item()] * 3)
    assert (scores.grad[0, [0, 1, 2, *range(6, 15)], 0] > 0).all()
