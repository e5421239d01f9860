"""The terms of supervised grounding against a literal re-write in float64 and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from simcrop_training.objectives.grounding_losses import across, aligned, balanced, cosine, nowhere, where

TAU = 0.07
# The scan that the sentence is from.
OWN = torch.tensor([0])


@pytest.fixture
def scan():
    """Six patches and four sentences of width 5; the last two sentences point nowhere, the first two mean the same."""
    torch.manual_seed(0)
    features, sentences = torch.randn(6, 5), torch.randn(4, 5)
    return features, sentences, torch.tensor([True, True, False, False]), torch.tensor([7, 7, 8, 9])


def unit(vector):
    return vector / np.linalg.norm(vector)


def region(features, sentence, top_k):
    order = np.argsort([-unit(sentence) @ unit(patch) for patch in features])[:top_k]
    return np.mean([features[i] for i in order], axis=0)


def cross_entropy(logits, own):
    return float(np.log(np.sum(np.exp(logits))) - logits[own])


def test_alignment_contrasts_a_region_with_every_sentence_that_means_something_else(scan):
    features, sentences, there, meaning = scan
    patches, words = features.double().numpy(), sentences.double().numpy()
    regions = [region(patches, words[i], 2) for i in (0, 1)]
    logits = np.array([[unit(r) @ unit(w) / TAU for w in words] for r in regions])
    to_sentences = [
        cross_entropy(logits[0][[0, 2, 3]], 0),  # not against sentence 1, which means the same
        cross_entropy(logits[1][[1, 2, 3]], 0),
    ]
    to_regions = [0.0, 0.0]  # the only other region belongs to the same meaning
    expected = np.mean(to_sentences) + np.mean(to_regions)
    got = aligned(features, sentences, cosine(sentences, features), there, meaning, top_k=2)
    assert got.item() == pytest.approx(expected, rel=1e-4)


def test_scores_on_scans_with_the_like_do_not_count_against_a_sentence(scan):
    features, sentences, _, _ = scan
    scans = torch.stack([features, features.flip(1), torch.randn(6, 5)])
    words = sentences[:1].double().numpy()
    scores = [unit(region(s.double().numpy(), words[0], 2)) @ unit(words[0]) / TAU for s in scans]
    everywhere = across(scans, sentences[:1], torch.tensor([[True, False, False]]), OWN, top_k=2)
    assert everywhere.item() == pytest.approx(cross_entropy(np.array(scores), 0), rel=1e-4)
    without_second = across(scans, sentences[:1], torch.tensor([[True, True, False]]), OWN, top_k=2)
    assert without_second.item() == pytest.approx(cross_entropy(np.array([scores[0], scores[2]]), 0), rel=1e-4)


def test_a_sentence_is_pulled_to_its_own_scan_and_away_from_the_others(scan):
    features, sentences, _, _ = scan
    scans = torch.stack([features, torch.randn(6, 5)]).requires_grad_()
    across(scans, sentences[:1], torch.tensor([[True, False]]), OWN, top_k=6).backward()
    step = -scans.grad
    assert (step[0].mean(0) @ sentences[0]) > 0 > (step[1].mean(0) @ sentences[0])


def test_few_claimed_patches_weigh_half_as_much_as_all_the_others():
    """One patch of four claimed, all logits 0: ln 2 on either side."""
    logits, target = torch.zeros(1, 4), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert balanced(logits, target).item() == pytest.approx(1.5 * np.log(2))


def test_where_is_nothing_once_the_softmax_is_the_claim():
    target = torch.tensor([[0.5, 1.0, 0.0]])
    right = torch.log(torch.tensor([[1 / 3, 2 / 3, 1e-9]]))
    assert where(right, target).item() == pytest.approx(0, abs=1e-6)
    assert where(torch.zeros(1, 3), target).item() == pytest.approx(
        np.log(3) - (-np.log(1 / 3) / 3 - 2 / 3 * np.log(2 / 3))
    )


def test_what_points_nowhere_pays_for_every_patch_and_again_for_those_it_likes_best():
    logits = torch.full((1, 20), -30.0)
    logits[0, :16] = 0.0
    assert nowhere(logits).item() == pytest.approx(np.log(2) + 16 / 20 * np.log(2))
