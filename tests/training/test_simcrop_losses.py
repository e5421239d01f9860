"""The losses of pre-training against the same written down step by step, in float64."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from simcrop_training.objectives.plain_simcrop import plain_losses
from simcrop_training.objectives.simcrop_cost import block_flops, sample_flops
from simcrop_training.objectives.simcrop_view import region_figures
from tiny_run import SENTENCES, TinySource, tiny_method, tiny_objective

from simcrop_core.models.config import VisionConfig
from simcrop_core.models.losses import alignment_loss
from simcrop_core.models.presets import PRETRAINING_PRESETS


@pytest.fixture(scope="module")
def objective():
    """Three frames at once, in float64, without dropout."""
    tiny = tiny_objective(batch=3, micro_batch=3)
    tiny.module.double().eval()
    return tiny


def embedded(objective, first):
    """An encoder that knows the sentences of the source."""
    source = TinySource(3)
    rows = {text: row for n in range(first, first + 3) for text, row in _rows(source.pair(n))}
    return lambda texts: torch.stack([torch.from_numpy(rows[text]).double() for text in texts])


def _rows(pair):
    return zip(pair.sentences, pair.embeddings_SC, strict=True)


@pytest.mark.parametrize("index", [0, 1])
def test_values_and_gradients_are_those_of_the_plain_form(objective, index):
    batch = objective.batch(index)
    said = [TinySource(3).pair(3 * index + b).sentences for b in range(3)]
    module = objective.module
    counts, totals = objective.counts(batch), objective.totals(batch)
    plain = plain_losses(module, objective.shown(batch), said, embedded(objective, 3 * index))
    for name, total in totals.items():
        fast = total / max(counts[name], 1)
        assert float(fast) == pytest.approx(float(plain[name]), rel=1e-10)
        ours, theirs = (_gradients(module, loss) for loss in (fast, plain[name]))
        for key, gradient in theirs.items():
            torch.testing.assert_close(ours[key], gradient, rtol=1e-8, atol=1e-12, msg=f"{name}: {key}")


def _gradients(module, loss):
    module.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    trained = {key: p for key, p in module.named_parameters() if p.requires_grad}
    return {key: torch.zeros_like(p) if p.grad is None else p.grad for key, p in trained.items()}


def test_counts_come_from_the_data_and_are_those_of_the_losses(objective):
    """They are added over ranks before any loss is known."""
    batch = objective.batch(0)
    of_losses = {name: int(loss.count) for name, loss in objective.network(objective.shown(batch)).items()}
    assert objective.counts(batch) == of_losses
    assert of_losses["image"] == 3 * 48


@pytest.mark.parametrize("changes", [{"mim_on": "all"}, {"negatives": "batch"}, {"mlm_on": "all"}])
def test_counts_follow_the_switches(changes):
    tiny = tiny_objective(batch=3, micro_batch=3, **changes)
    batch = tiny.batch(1)
    assert tiny.counts(batch) == {n: int(loss.count) for n, loss in tiny.network(tiny.shown(batch)).items()}


def test_the_alignment_loss_is_computed_in_float32_under_autocast():
    regions, sentences = torch.randn(2, 2, 5, 16, generator=torch.Generator().manual_seed(0))
    identities = torch.arange(5).repeat(2, 1)
    exact = alignment_loss(regions, sentences, identities).total
    with torch.autocast("cpu", torch.bfloat16):
        assert alignment_loss(regions, sentences, identities).total.equal(exact)


def test_a_micro_batch_does_not_depend_on_its_neighbours(objective):
    """The same frames one by one: same voxels, hidden patches, sentences and hidden words, whatever the padding."""
    alone = tiny_objective(batch=3, micro_batch=1)
    three = objective.batch(2)
    for b in range(3):
        one = alone.batch(6 + b)
        assert one.images_BHWD[0].equal(three.images_BHWD[b])
        assert one.keep_BK[0].equal(three.keep_BK[b])
        width = one.report_BT.shape[1]
        assert one.report_BT[0].equal(three.report_BT[b, :width])
        assert one.labels_BT[0].equal(three.labels_BT[b, :width])
        said = one.sentences_BSC.shape[1]
        assert one.sentences_BSC[0].equal(three.sentences_BSC[b, :said])


def test_of_many_sentences_some_are_drawn_anew_for_every_frame():
    """Always the first ones would leave the end of long reports out."""
    tiny = tiny_method("simcrop", sentences=2)
    pair = dataclasses.replace(
        TinySource(3, 32).pair(0), sentences=SENTENCES, embeddings_SC=np.eye(len(SENTENCES), 32, dtype=np.float32)
    )
    drawn = [tiny.side_by_side([pair], range(n, n + 1)).sentences_BSC[0].argmax(dim=1).tolist() for n in range(40)]
    assert all(first < second for first, second in drawn)
    assert {number for numbers in drawn for number in numbers} == set(range(len(SENTENCES)))
    assert tiny.side_by_side([pair], range(7, 8)).sentences_BSC[0].argmax(dim=1).tolist() == drawn[7]


def test_a_long_report_loses_findings_and_keeps_its_impression():
    tiny = tiny_objective()
    findings, impression = " ".join(SENTENCES[:5]), SENTENCES[5]
    ids, continues = tiny.masker.pieces(findings, impression)
    alone, _ = tiny.masker.pieces("", impression)
    assert len(ids) == len(continues) == 24
    assert ids[-len(alone) + 1 :] == alone[1:]


def test_regions_that_are_the_same_and_apart():
    counts = torch.tensor([[True, True, True]])
    same = torch.tensor([[[0, 1], [0, 1], [0, 1]]])
    apart = torch.tensor([[[0, 1], [2, 3], [3, 4]]])
    assert region_figures(same, counts, 8) == {"overlap": 1.0, "never_chosen": 0.75}
    # Of three pairs one shares one patch of three.
    assert region_figures(apart, counts, 8) == pytest.approx({"overlap": 1 / 9, "never_chosen": 3 / 8})
    assert region_figures(same, torch.tensor([[True, False, False]]), 8) == {}


def test_the_papers_network_costs_about_a_teraflop_and_a_half_a_frame():
    paper = PRETRAINING_PRESETS["base"]
    assert sample_flops(paper, 300) == pytest.approx(1.5e12, rel=0.15)
    vision = VisionConfig()
    assert block_flops(687, 768, 3072) == 2 * (687 * 12 * 768**2 + 2 * 687**2 * 768)
    assert math.isclose(vision.tokens * 0.25, 686)


def test_the_view_has_a_picture_and_figures(objective):
    objective.module.float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        view = objective.view()
    objective.module.double()
    assert view.picture.shape == (32, 3 * 32, 3)
    assert view.picture.std() > 10
    assert set(view.figures) == {"overlap", "never_chosen"}
