"""The three losses, against values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from simcrop_core.models.losses import (
    alignment_loss,
    distinct,
    masked_image_loss,
    masked_report_loss,
    standardised,
)


def ids(*rows):
    return torch.tensor(rows)


def unit(*shape, seed=0):
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=-1)


class TestImage:
    def setup_method(self):
        torch.manual_seed(0)
        self.target = torch.rand(2, 8, 6)
        self.predicted = torch.rand(2, 8, 6)
        self.masked = torch.tensor([[1, 1, 0, 1, 1, 0, 1, 1]] * 2, dtype=torch.bool)

    @pytest.mark.parametrize("on", ["masked", "all", "ecamp"])
    def test_a_perfect_prediction_costs_nothing(self, on):
        assert masked_image_loss(self.target, self.target, self.masked, on).mean == 0

    def test_visible_patches_do_not_count(self):
        loss = masked_image_loss(self.predicted, self.target, self.masked)
        changed = self.predicted + 5 * (~self.masked)[..., None]
        assert masked_image_loss(changed, self.target, self.masked).total == loss.total
        expected = (self.predicted - self.target)[self.masked].square().mean()
        torch.testing.assert_close(loss.mean, expected)
        assert loss.count == 12

    def test_all_patches_count_where_asked(self):
        loss = masked_image_loss(self.predicted, self.target, self.masked, "all")
        torch.testing.assert_close(loss.mean, (self.predicted - self.target).square().mean())

    def test_ecamps_loss_is_three_quarters_of_it(self):
        ours = masked_image_loss(self.predicted, self.target, self.masked).mean
        theirs = masked_image_loss(self.predicted, self.target, self.masked, "ecamp").mean
        torch.testing.assert_close(theirs, 0.75 * ours)

    def test_standardised_patches_and_the_floor_for_air(self):
        patches = torch.stack(
            [torch.tensor([0.0, 1.0, 2.0, 5.0]), torch.full((4,), -1.0), torch.tensor([-1, -1, -1, -0.99])]
        )
        result = standardised(patches, floor=0.05)
        assert float(result[0].mean()) == pytest.approx(0, abs=1e-6)
        assert float(result[0].std(correction=0)) == pytest.approx(1)
        assert not result[1].any()
        assert result[2].abs().max() < 0.2


class TestDistinctSentences:
    def test_first_of_each_text_and_no_padding(self):
        expected = [[True, True, False, True, False, False], [True, False, False, False, False, False]]
        assert distinct(ids([7, 3, 7, 5, 3, -1], [4, 4, -1, -1, -1, -1])).tolist() == expected


class TestAlignment:
    @pytest.mark.parametrize("n", [2, 5, 16])
    @pytest.mark.parametrize("negatives", ["report", "batch"])
    def test_indistinct_sentences_cost_twice_log_n(self, n, negatives):
        same = torch.ones(1, n, 8)
        loss = alignment_loss(same, same, torch.arange(n)[None], negatives=negatives)
        assert float(loss.mean) == pytest.approx(2 * math.log(n), rel=1e-5)

    def test_separated_sentences_cost_nothing(self):
        one_hot = torch.eye(6)[None]
        assert alignment_loss(one_hot, one_hot, torch.arange(6)[None], temperature=0.01).mean < 1e-6

    def test_it_is_the_sum_of_both_cross_entropies(self):
        regions, sentences = unit(1, 4, 8), unit(1, 4, 8, seed=1)
        scores = (regions[0] @ sentences[0].T) / 0.07
        target = torch.arange(4)
        entropy = torch.nn.functional.cross_entropy
        loss = alignment_loss(3 * regions, 5 * sentences, target[None])
        torch.testing.assert_close(loss.mean, entropy(scores, target) + entropy(scores.T, target))

    def test_unnormalised_products_are_divided_by_the_root_of_the_width(self):
        regions, sentences = 3 * unit(1, 4, 16), 2 * unit(1, 4, 16, seed=1)
        loss = alignment_loss(regions, sentences, torch.arange(4)[None], normalise=False)
        scores = 6 * unit(1, 4, 16)[0] @ unit(1, 4, 16, seed=1)[0].T / 4 / 0.07
        entropy = torch.nn.functional.cross_entropy
        target = torch.arange(4)
        torch.testing.assert_close(loss.mean, entropy(scores, target) + entropy(scores.T, target))

    def test_a_single_sentence_is_skipped(self):
        loss = alignment_loss(unit(2, 3, 8), unit(2, 3, 8), ids([4, -1, -1], [5, 5, 5]))
        assert (loss.total, loss.count, loss.mean) == (0, 0, 0)

    def test_the_order_of_sentences_does_not_matter(self):
        regions, sentences, identities = unit(1, 5, 8), unit(1, 5, 8, seed=1), ids([3, 9, 1, 4, 7])
        order = torch.tensor([4, 2, 0, 1, 3])
        straight = alignment_loss(regions, sentences, identities).mean
        shuffled = alignment_loss(regions[:, order], sentences[:, order], identities[:, order]).mean
        torch.testing.assert_close(straight, shuffled)

    @pytest.mark.parametrize("negatives", ["report", "batch"])
    def test_padding_and_repetitions_change_nothing_and_learn_nothing(self, negatives):
        regions, sentences = unit(1, 6, 8).requires_grad_(), unit(1, 6, 8, seed=1)
        padded = alignment_loss(regions, sentences, ids([1, 2, 3, 2, -1, -1]), negatives=negatives)
        cut = alignment_loss(regions[:, :3], sentences[:, :3], ids([1, 2, 3]), negatives=negatives)
        torch.testing.assert_close(padded.mean, cut.mean)
        padded.mean.backward()
        assert regions.grad.isfinite().all()
        assert (regions.grad[0, :3].abs().sum(-1) > 0).all()
        assert not regions.grad[0, 3:].any()

    def test_reports_weigh_the_same_whatever_their_length(self):
        regions, sentences = unit(2, 6, 8), unit(2, 6, 8, seed=1)
        identities = ids([1, 2, -1, -1, -1, -1], [1, 2, 3, 4, 5, 6])
        alone = [alignment_loss(regions[b : b + 1], sentences[b : b + 1], identities[b : b + 1]).mean for b in (0, 1)]
        both = alignment_loss(regions, sentences, identities)
        assert both.count == 2
        torch.testing.assert_close(both.mean, torch.stack(alone).mean())

    def test_over_a_batch_identical_sentences_do_not_repel(self):
        """Two reports with one sentence in common: worked by hand as a 4 × 4 matrix with two holes."""
        regions, sentences = unit(2, 2, 8), unit(2, 2, 8, seed=1)
        sentences[1, 0] = sentences[0, 0]
        loss = alignment_loss(regions, sentences, ids([1, 2], [1, 3]), negatives="batch")
        scores = regions.flatten(0, 1) @ sentences.flatten(0, 1).T / 0.07
        scores[0, 2] = scores[2, 0] = -math.inf
        target = torch.arange(4)
        entropy = torch.nn.functional.cross_entropy
        torch.testing.assert_close(loss.mean, entropy(scores, target) + entropy(scores.T, target))
        assert loss.count == 4

    def test_a_batch_of_empty_reports(self):
        loss = alignment_loss(unit(2, 3, 8), unit(2, 3, 8), torch.full((2, 3), -1), negatives="batch")
        assert (loss.total, loss.mean) == (0, 0)


class TestReport:
    def test_only_labelled_pieces_count(self):
        logits = torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(0))
        labels = ids([-100, 4, -100, 7, -100], [-100, -100, 0, -100, -100])
        loss = masked_report_loss(logits, labels)
        by_hand = -sum(logits[b, t].log_softmax(-1)[v] for b, t, v in ((0, 1, 4), (0, 3, 7), (1, 2, 0)))
        torch.testing.assert_close(loss.total, by_hand)
        assert loss.count == 3

    def test_knowing_nothing_costs_the_log_of_the_vocabulary(self):
        loss = masked_report_loss(torch.zeros(1, 4, 30522), ids([1, 2, 3, 4]))
        assert float(loss.mean) == pytest.approx(math.log(30522), rel=1e-5)

    def test_nothing_masked_costs_nothing(self):
        assert masked_report_loss(torch.randn(1, 3, 5), ids([-100, -100, -100])).mean == 0
