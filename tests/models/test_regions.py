"""Top-K patches and their mean."""

from __future__ import annotations

import pytest
import torch

from simcrop_core.models.regions import mean_of, similarity, softmax_mean, top_patches


@pytest.fixture
def patches():
    torch.manual_seed(0)
    return torch.randn(2, 30, 12, requires_grad=True)


@pytest.fixture
def sentences():
    torch.manual_seed(1)
    return torch.randn(2, 5, 12)


def test_similarity_is_the_cosine_or_the_scaled_product(patches, sentences):
    cosine = torch.cosine_similarity(sentences[:, :, None], patches[:, None], dim=-1)
    torch.testing.assert_close(similarity(sentences, patches, normalise=True), cosine)
    product = torch.einsum("bsc,bnc->bsn", sentences, patches) / 12**0.5
    torch.testing.assert_close(similarity(sentences, patches, normalise=False), product)


def test_the_most_similar_patches_are_chosen(patches, sentences):
    scores = similarity(sentences, patches, normalise=True)
    chosen = top_patches(scores, 4)
    assert chosen.shape == (2, 5, 4)
    assert not chosen.requires_grad
    for b in range(2):
        for s in range(5):
            assert set(chosen[b, s].tolist()) == set(scores[b, s].argsort(descending=True)[:4].tolist())


def test_the_region_is_the_mean_of_the_chosen_patches_and_only_they_learn(patches):
    chosen = torch.tensor([[[3, 7, 1]], [[0, 29, 5]]])
    region = mean_of(patches, chosen)
    torch.testing.assert_close(region[1, 0], patches[1, [0, 29, 5]].mean(0))
    region.square().sum().backward()
    touched = patches.grad.abs().sum(-1) > 0
    assert touched[0].nonzero().flatten().tolist() == [1, 3, 7]
    assert touched[1].nonzero().flatten().tolist() == [0, 5, 29]


@pytest.mark.parametrize("top_k", [30, 64])
def test_with_as_many_as_there_are_it_is_the_global_mean(patches, sentences, top_k):
    chosen = top_patches(similarity(sentences, patches, normalise=True), top_k)
    expected = patches.mean(dim=1, keepdim=True).expand(2, 5, 12)
    torch.testing.assert_close(mean_of(patches, chosen), expected)


def test_softmax_pooling_goes_from_the_mean_to_the_best_patch(patches, sentences):
    scores = similarity(sentences, patches, normalise=True)
    flat = softmax_mean(patches, scores, 1e4)
    torch.testing.assert_close(flat, patches.mean(1, keepdim=True).expand_as(flat), atol=1e-3, rtol=0)
    best = patches.gather(1, scores.argmax(-1, keepdim=True).expand(-1, -1, 12))
    torch.testing.assert_close(softmax_mean(patches, scores, 1e-4), best, atol=1e-2, rtol=0)
    softmax_mean(patches, scores, 0.07).sum().backward()
    assert (patches.grad.abs().sum(-1) > 0).all()
