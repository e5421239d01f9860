"""Maps, regions, scores and ranks, against float64 and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simcrop_core.errors import WidthMismatch
from simcrop_core.inference.features import PatchFeatures
from simcrop_core.inference.grounding import ground, ranks


def features_of(features_NC, within=None):
    n = len(features_NC)
    within = torch.ones(n, dtype=torch.bool) if within is None else torch.as_tensor(within)
    return PatchFeatures(features_NC, (n, 1, 1), np.eye(4), within, (24.0, 24.0, 24.0))


def test_maps_and_scores_against_float64():
    rng = np.random.default_rng(0)
    features, sentences = rng.normal(size=(200, 24)), rng.normal(size=(5, 24))
    answer = ground(features_of(torch.from_numpy(features).float()), torch.from_numpy(sentences).float(), top_k=16)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    words = sentences / np.linalg.norm(sentences, axis=1, keepdims=True)
    maps = words @ unit.T
    np.testing.assert_allclose(answer.maps_SN, maps, atol=1e-6)
    for s in range(5):
        region = features[np.argsort(-maps[s])[:16]].mean(axis=0)
        assert float(answer.scores_S[s]) == pytest.approx(float(region @ words[s] / np.linalg.norm(region)), abs=1e-6)
        assert int(answer.peaks_S[s]) == maps[s].argmax()


def test_all_patches_in_the_region_score_the_global_mean():
    """K as large as the scan: the region is everything."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    answer = ground(features_of(features), torch.tensor([[1.0, 0.0]]), top_k=99)
    assert float(answer.scores_S) == pytest.approx(2 / np.sqrt(8))


def test_padding_is_never_a_peak_nor_part_of_a_region():
    features = torch.tensor([[1.0, 0.0], [0.8, 0.2], [-1.0, 0.0]])
    answer = ground(features_of(features, [False, True, True]), torch.tensor([[1.0, 0.0]]), top_k=1)
    assert int(answer.peaks_S) == 1
    assert float(answer.maps_SN[0, 0]) == -1
    assert float(answer.scores_S) == pytest.approx(0.8 / np.hypot(0.8, 0.2))


def test_a_sentence_does_not_depend_on_the_others():
    torch.manual_seed(0)
    features, sentences = features_of(torch.randn(50, 8)), torch.randn(150, 8)
    together = ground(features, sentences, top_k=5)
    alone = ground(features, sentences[140:141], top_k=5)
    torch.testing.assert_close(together.scores_S[140:141], alone.scores_S)


def test_rank_counts_the_reference_sentences_that_score_higher():
    assert ranks(torch.tensor([0.9, 0.25, -1.0]), torch.tensor([0.1, 0.2, 0.3, 0.4])) == [(1, 4), (3, 4), (4, 4)]


def test_features_and_sentences_of_two_models_are_refused():
    with pytest.raises(WidthMismatch, match="3 wide"):
        ground(features_of(torch.randn(4, 2)), torch.randn(1, 3), top_k=1)
