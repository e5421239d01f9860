"""The score that is usual for a sentence, against a literal kernel ridge regression and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simcrop_core.inference.features import PatchFeatures
from simcrop_core.inference.grounding import ground
from simcrop_core.inference.usual import UsualScores


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_kernel_ridge_regression_against_a_literal_one():
    rng = np.random.default_rng(0)
    reference, usual, asked = rng.normal(size=(7, 4)), rng.uniform(-0.2, 0.6, 7), rng.normal(size=(3, 4))
    kernel = np.array([[np.exp(3.0 * (a @ b - 1)) for b in unit(reference)] for a in unit(reference)])
    weights = np.linalg.inv(kernel + 0.03 * np.eye(7)) @ (usual - usual.mean())
    expected = [
        usual.mean() + sum(w * np.exp(3.0 * (s @ r - 1)) for w, r in zip(weights, unit(reference), strict=True))
        for s in unit(asked)
    ]
    got = UsualScores(torch.tensor(reference), torch.tensor(usual)).of(torch.tensor(asked))
    assert got.numpy() == pytest.approx(expected, abs=1e-6)


def test_a_sentence_of_the_bank_has_about_the_score_measured_for_it():
    """Directions far apart: the ridge pulls each by three hundredths of its distance from the mean, no more."""
    reference, usual = torch.eye(4) * 5, torch.tensor([0.1, 0.2, 0.5, 0.6])
    got = UsualScores(reference, usual).of(reference)
    assert got.numpy() == pytest.approx(usual.numpy(), abs=0.02)


def test_what_every_chest_shows_is_no_excess():
    """Two sentences with the same score on the scan, one of which scores that on every chest."""
    features = PatchFeatures(torch.eye(2), (2, 1, 1), np.eye(4), torch.ones(2, dtype=torch.bool), (24.0,) * 3)
    sentences = torch.eye(2)
    usual = UsualScores(sentences, torch.tensor([1.0, 0.0]))
    answer = ground(features, sentences, top_k=1, usual_S=usual.of(sentences))
    assert answer.scores_S.tolist() == pytest.approx([1.0, 1.0])
    assert answer.excess_S[0] == pytest.approx(0, abs=0.05)
    assert answer.excess_S[1] == pytest.approx(1, abs=0.05)
    assert answer.rows(torch.tensor([1])).excess_S.tolist() == [answer.excess_S[1]]


def test_what_moves_all_scores_of_a_scan_is_its_shift_and_single_findings_are_not():
    rng = np.random.default_rng(3)
    sentences = torch.tensor(rng.normal(size=(21, 5)))
    usual = UsualScores(sentences, torch.tensor(rng.uniform(0, 0.6, 21)))
    scores = usual.of(sentences) - 0.04
    scores[:7] += 0.3  # What is there.
    assert usual.shift(sentences, scores) == pytest.approx(-0.04, abs=1e-6)


def test_without_usual_scores_the_score_itself_counts():
    features = PatchFeatures(torch.eye(2), (2, 1, 1), np.eye(4), torch.ones(2, dtype=torch.bool), (24.0,) * 3)
    answer = ground(features, torch.eye(2), top_k=2)
    assert torch.equal(answer.excess_S, answer.scores_S)
    assert answer.rows(torch.tensor([0])).usual_S is None
