"""Whole scans against whole reports: the contrast, its temperature, and what learns from it."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from simcrop_training.objectives.two_towers import same_text, symmetric_contrast
from simcrop_training.recipe import RECIPES, read_recipe
from step_gradients import assert_same, gradients, gradients_in_pieces, losses_of, reached, steady, weighted
from tiny_run import TinySource

ONE_EACH = torch.eye(8, dtype=torch.float64)


def plain_contrast(logits, texts):
    """Row by row and column by column, as sums over the samples that share a text."""
    n = len(logits)
    total = logits.new_zeros(())
    for i in range(n):
        same = [j for j in range(n) if texts[j] == texts[i]]
        for j in same:
            across = logits[i].exp().sum().log() - logits[i, j]
            down = logits[:, i].exp().sum().log() - logits[j, i]
            total = total + (across + down) / len(same)
    return total / (2 * n)


def test_vectors_that_have_nothing_in_common_cost_the_logarithm_of_their_number():
    """Orthogonal ones exactly, random ones of many dimensions nearly."""
    assert float(symmetric_contrast(torch.zeros(8, 8).double(), ONE_EACH)) == pytest.approx(math.log(8), rel=1e-12)
    numbers = torch.Generator().manual_seed(0)
    image, text = (F.normalize(torch.randn(48, 8192, generator=numbers).double(), dim=1) for _ in range(2))
    logits = image @ text.T / 0.07
    assert float(symmetric_contrast(logits, torch.eye(48))) == pytest.approx(math.log(48), abs=0.05)


def test_the_right_pairs_cost_less_and_the_wrong_ones_more():
    cosines = torch.full((8, 8), 0.1).double()
    right = symmetric_contrast((cosines + 0.5 * ONE_EACH) / 0.07, ONE_EACH)
    wrong = symmetric_contrast((cosines + 0.5 * ONE_EACH.roll(1, 0)) / 0.07, ONE_EACH)
    assert float(right) < 0.01 < math.log(8) < float(wrong)


@pytest.mark.parametrize("texts", [(0, 1, 2, 3, 4), (0, 1, 0, 2, 1), (0, 0, 0, 0, 0)])
def test_the_contrast_is_that_of_the_plain_form(texts):
    numbers = torch.Generator().manual_seed(1)
    logits = (3 * torch.randn(5, 5, generator=numbers).double()).requires_grad_()
    ours = symmetric_contrast(logits, same_text(torch.tensor(texts)))
    plain = plain_contrast(logits, texts)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, plain)))


def test_different_texts_are_the_usual_cross_entropy():
    numbers = torch.Generator().manual_seed(2)
    logits, own = torch.randn(6, 6, generator=numbers).double(), torch.arange(6)
    usual = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(symmetric_contrast(logits, same_text(own)), usual)


@pytest.mark.parametrize("soft", [True, False])
def test_scans_of_one_report_do_not_repel_each_other(soft):
    """Two reconstructions of a study among other scans, none of them told apart yet."""
    objective = steady("ctclip", soft_same_text=soft)
    image, text = torch.eye(8, 16).double(), torch.eye(8, 16).roll(8, 1).double().requires_grad_()
    rows = {"image": image, "text": text, "report": torch.tensor([0, 0, 2, 3, 4, 5, 6, 7]), "scale": torch.ones(1)}
    objective.compared([rows])["contrast"].backward()
    slope = image @ text.grad.T  # of the loss by the similarity of scan i with text j
    assert (slope[0, 2:] > 0).all()
    assert slope[0, 0] < 0
    assert (slope[0, 1] > 0) == (not soft)


def test_the_scale_is_learned_and_never_above_its_limit():
    objective = steady("ctclip")
    network = objective.network
    assert network.multiplier(100).item() == pytest.approx(1 / 0.07)
    losses_of(objective)["contrast"].backward()
    assert network.scale.grad.abs() > 0
    with torch.no_grad():
        network.scale.fill_(math.log(1000))
    network.scale.grad = None
    assert objective.rows(objective.batch(0))["scale"].item() == 100
    # Towers that have learned nothing do better with a smaller one; equal vectors would do with any larger one.
    losses_of(objective)["contrast"].backward()
    assert network.scale.grad > 0
    network.scale.grad = None
    alike, others = torch.eye(4, 8).double(), torch.arange(4)
    rows = {"image": alike, "text": alike, "report": others, "scale": network.multiplier(100)}
    objective.compared([rows])["contrast"].backward()
    assert network.scale.grad == 0


@pytest.mark.parametrize("rule", ["exp", "raw"])
def test_a_scale_above_its_limit_is_learned_down_from_there(rule):
    objective = steady("ctclip", scale=120.0, scale_rule=rule)
    network = objective.network
    optimiser = torch.optim.AdamW([network.scale], lr=0.05 if rule == "exp" else 5.0, weight_decay=0.0)
    for _ in range(8):
        optimiser.zero_grad()
        losses_of(objective)["contrast"].backward()
        optimiser.step()
    assert network.multiplier(1000).item() < 100


def test_the_released_temperatures_can_be_had():
    """CT-CLIP starts at exp(1); M3D-CLIP uses the logarithm of 1/0.07 as the scale itself."""
    official = read_recipe(RECIPES / "ctclip_official.yaml").method
    ctclip = steady("ctclip", scale=official.scale, scale_rule=official.scale_rule)
    assert ctclip.network.multiplier(official.largest_scale).item() == pytest.approx(math.e, abs=1e-4)
    assert ctclip.network.scale.item() == pytest.approx(1, abs=1e-4)
    m3d = steady("m3d_shared").network
    assert m3d.multiplier(100).item() == pytest.approx(math.log(1 / 0.07), abs=1e-3)
    assert m3d.scale.item() == m3d.multiplier(100).item()


def test_the_recipes_differ_from_the_papers_in_the_method_alone():
    paper = read_recipe(RECIPES / "paper.yaml")
    for name in ("ctclip", "ctclip_official"):
        recipe = read_recipe(RECIPES / f"{name}.yaml")
        assert recipe.schedule == paper.schedule
        assert recipe.pretraining() == paper.pretraining()
        assert (recipe.method.batch, recipe.method.report_tokens) == (48, 512)


@pytest.mark.parametrize("name", ["ctclip", "m3d_shared"])
def test_values_and_gradients_are_those_of_the_plain_form(name):
    """Sample by sample, from the encoders' tokens on."""
    objective = steady(name)
    batch, network = objective.batch(0), objective.network
    images, cls = objective.frames(batch), name == "m3d_shared"
    vectors = []
    for b in range(4):
        length = int(batch.attended_BT[b].sum())
        tokens = network.vision(images[b : b + 1])[0]
        image = network.image_projection.weight @ (tokens[0] if cls else tokens[1:].mean(0))
        text = network.text_projection.weight @ network.text_encoder(batch.words_BT[b : b + 1, :length])[0, 0]
        vectors.append((image / image.norm(), text / text.norm()))
    scale = network.scale if cls else network.scale.exp()
    logits = torch.stack([torch.stack([scale[0] * image @ text for _, text in vectors]) for image, _ in vectors])
    plain = plain_contrast(logits, batch.reports_B.tolist())
    ours = losses_of(objective)["contrast"]
    assert ours.item() == pytest.approx(plain.item(), rel=1e-10)
    assert_same(gradients(network, ours), gradients(network, plain))


def test_both_towers_learn():
    objective = steady("ctclip")
    whole = {"vision", "text_encoder", "image_projection", "text_projection", "scale"}
    assert reached(objective.module, losses_of(objective)["contrast"]) == whole


def test_the_gradient_is_the_same_in_one_piece_and_in_four():
    whole = steady("ctclip")
    at_once = gradients(whole.module, weighted(whole, losses_of(whole)))
    assert_same(gradients_in_pieces(steady("ctclip", micro_batch=1)), at_once)


def test_vectors_for_zero_shot_are_those_that_were_contrasted():
    objective = steady("ctclip")
    batch = objective.batch(0)
    rows = objective.rows(batch)
    assert objective.image_vectors(objective.frames(batch)).equal(rows["image"])
    assert objective.text_vectors(batch.words_BT, batch.attended_BT).equal(rows["text"])
    assert rows["image"].norm(dim=1).tolist() == pytest.approx([1] * 4)


def test_findings_may_be_read_alone():
    """Then reports that differ in their impressions alone are the same report."""
    both, alone = steady("ctclip", report_tokens=60), steady("ctclip", report_tokens=60, sections="findings")
    pair = dataclasses.replace(TinySource(3, 32).pair(0), findings="The heart is of normal size.")
    pairs = [dataclasses.replace(pair, impression=text) for text in ("Emphysema is present.", "A nodule.")]
    read, cut = (objective.side_by_side(pairs, range(2)) for objective in (both, alone))
    assert len(set(read.reports_B.tolist())) == 2
    assert len(set(cut.reports_B.tolist())) == 1
    wanted, _ = alone.masker.pieces(pair.findings, "")
    assert all(row[: len(wanted)].tolist() == wanted for row in cut.words_BT)
    assert cut.attended_BT.sum(dim=1).tolist() == [len(wanted)] * 2
    assert (read.attended_BT.sum(dim=1) > len(wanted)).all()


@pytest.mark.parametrize("name", ["ctclip", "biud", "mg3d"])
def test_held_out_losses_are_those_of_all_held_out_frames_at_once(name):
    """Two at a time or four: the same comparison of all of them."""
    found = []
    for micro_batch in (2, 4):
        objective = steady(name, micro_batch=micro_batch)
        validation = TinySource(5, 32)
        validation.pairs = 8
        objective.data = dataclasses.replace(objective.data, validation=validation)
        with torch.no_grad():
            found.append(objective.measure())
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[0].keys() >= objective.weights.keys()
