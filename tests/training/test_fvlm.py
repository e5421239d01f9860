"""Organs against what reports say of them: hand-worked targets, a literal rewrite, and where gradients go."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from simcrop_training.data.organs import Organs
from simcrop_training.engine.errors import NoOrganMaps, UnusableRecipe
from simcrop_training.methods import METHODS
from simcrop_training.objectives.fvlm import FvlmSettings
from simcrop_training.objectives.fvlm_zero_shot import PROMPTS, OrganPrompt, OrganZeroShot
from simcrop_training.objectives.organ_contrast import organ_contrast, organ_logits, organ_targets
from simcrop_training.objectives.organ_towers import levels_of
from simcrop_training.objectives.pairs import PairData
from simcrop_training.recipe import read_recipe
from tiny_run import TinySource, tiny_method

from simcrop_core.models.presets import PRESETS
from simcrop_core.text.ct_rate import CT_RATE_LABELS

TAU = 0.07


def targets(valid, normal, texts):
    """Of one organ."""
    return organ_targets(*(torch.tensor(column)[:, None] for column in (valid, normal, texts)))


def test_two_normal_organs_and_an_abnormal_one():
    shares = targets([True] * 3, [True, True, False], [7, 8, 9]).shares_ONN[0]
    assert shares.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]


def test_abnormal_organs_of_the_same_words_share_their_texts():
    shares = targets([True] * 3, [False] * 3, [7, 8, 7]).shares_ONN[0]
    assert shares.tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]


@pytest.mark.parametrize(
    ("valid", "normal", "texts", "compared"),
    [
        ([True] * 3, [True] * 3, [7, 8, 9], False),  # all normal
        ([True, False, False], [False] * 3, [7, 8, 9], False),  # one alone
        ([True] * 3, [False] * 3, [7, 7, 7], False),  # all say the same
        ([True, True, False], [True, True, False], [7, 8, 9], False),  # the abnormal one is cut off
        ([True, False, True], [True, True, False], [7, 8, 9], True),
        ([False] * 3, [False] * 3, [7, 8, 9], False),
    ],
)
def test_an_organ_in_which_all_belong_together_is_skipped(valid, normal, texts, compared):
    of = targets(valid, normal, texts)
    assert bool(of.compared_O[0]) == compared
    image, text = vectors(3, 1)
    loss = organ_contrast(organ_logits(image, text, torch.tensor(TAU), of), of)
    loss.backward()
    assert (loss.item() > 0) == compared
    assert bool(image.grad.any()) == bool(text.grad.any()) == compared
    assert image.grad.isfinite().all()


def vectors(samples, organs, width=6, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, samples, organs, width, generator=numbers, dtype=torch.float64)
    unit = drawn / drawn.norm(dim=-1, keepdim=True)
    return unit[0].clone().requires_grad_(), unit[1].clone().requires_grad_()


def literal(image, text, tau, valid, normal, texts, peer=None, trust=0.0):
    """The same, organ by organ and row by row, over the valid samples alone."""
    total = torch.zeros((), dtype=torch.float64)
    for organ in range(image.shape[1]):
        rows = [i for i in range(len(image)) if valid[i, organ]]
        same = [
            [i == j or texts[i, organ] == texts[j, organ] or bool(normal[i, organ] and normal[j, organ]) for j in rows]
            for i in rows
        ]
        if all(all(row) for row in same):
            continue
        for turned in (False, True):
            sides, peers = (image, text), peer
            if turned:
                sides, peers = sides[::-1], None if peer is None else peer[::-1]
            for a, i in enumerate(rows):
                scores = torch.stack([sides[0][i, organ] @ sides[1][j, organ] / tau for j in rows])
                share = torch.tensor([float(s) for s in same[a]], dtype=torch.float64)
                share = share / share.sum()
                if peers is not None and not normal[i, organ]:
                    with torch.no_grad():
                        believed = torch.stack([peers[0][i, organ] @ peers[1][j, organ] / tau for j in rows])
                        believed = believed.exp() / believed.exp().sum()
                    abnormal = torch.tensor([not normal[j, organ] for j in rows])
                    share = torch.where(abnormal, (1 - trust) * share + trust * believed, share)
                    share = share / share.sum()
                log = scores - scores.exp().sum().log()
                total = total - (share * log).sum() / len(rows) / 2
    return total


def said(samples, organs, seed):
    rng = np.random.default_rng(seed)
    valid, normal = rng.random((2, samples, organs)) < np.array([0.7, 0.5])[:, None, None]
    return valid, normal, np.where(normal, 100, 0) + rng.integers(0, 3, (samples, organs))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("trust", [None, 0.3])
def test_values_and_gradients_are_those_of_the_literal_rewrite(seed, trust):
    image, text = vectors(7, 3, seed=seed)
    peer = None if trust is None else vectors(7, 3, seed=seed + 50)
    valid, normal, texts = said(7, 3, seed)
    tau = torch.tensor(TAU, dtype=torch.float64, requires_grad=True)
    of = organ_targets(*map(torch.from_numpy, (valid, normal, texts)))
    loss = organ_contrast(
        organ_logits(image, text, tau, of), of,
        peer_ONN=None if peer is None else organ_logits(*peer, tau, of), trust=trust or 0.0,
    )  # fmt: skip
    slow = literal(image, text, tau, valid, normal, texts, peer, trust or 0.0)
    assert slow.item() > 0
    assert loss.item() == pytest.approx(slow.item(), rel=1e-12)
    ours = torch.autograd.grad(loss, (image, text, tau))
    theirs = torch.autograd.grad(slow, (image, text, tau))
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)


def test_the_total_is_the_sum_over_organs():
    image, text = vectors(5, 2)
    valid, normal, texts = said(5, 2, 3)
    normal[:2] = [[True, False], [False, True]]
    valid[:2] = True

    def loss(organs):
        of = organ_targets(*(torch.from_numpy(x[:, organs]) for x in (valid, normal, texts)))
        return organ_contrast(organ_logits(image[:, organs], text[:, organs], torch.tensor(TAU), of), of).item()

    assert loss([0]) > 0
    assert loss([1]) > 0
    assert loss([0, 1]) == pytest.approx(loss([0]) + loss([1]), rel=1e-12)


def test_a_peer_that_is_not_trusted_changes_nothing():
    of = organ_targets(*map(torch.from_numpy, said(5, 2, 1)))
    own, peer = (organ_logits(*vectors(5, 2, seed=s), torch.tensor(TAU), of) for s in (0, 9))
    assert organ_contrast(own, of, peer_ONN=peer, trust=0.0).item() == pytest.approx(organ_contrast(own, of).item())


def test_levels_are_as_deep_in_any_encoder():
    assert levels_of(12, (4, 7, 10)) == (4, 7, 10)
    assert levels_of(6, (4, 7, 10)) == (2, 4, 5)
    assert levels_of(2, (4, 7, 10)) == (1, 2)


def test_an_organ_is_drawn_from_its_own_patches_alone():
    network = tiny_method("fvlm").network.eval()
    images = torch.randn(2, 1, 32, 32, 16)
    tokens = torch.zeros(2, 4, 64, dtype=torch.bool)
    tokens[:, 0, :5], tokens[:, 1, 5:9] = True, True
    other = tokens.clone()
    other[:, 1], other[:, 1, 40] = False, True
    torch.nn.init.normal_(network.query_token)
    before, after = (network.organ_vectors(images, mask) for mask in (tokens, other))
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert (before[:, 1] - after[:, 1]).abs().max() > 1e-3
    assert before.norm(dim=-1).allclose(torch.ones(2, 4))
    # One patch, one query: the softmax has one value a level and the value of the keys is all that is left.
    network.query_token.data.mul_(5)
    torch.testing.assert_close(network.organ_vectors(images[:1], other[:1])[0, 2].norm(), torch.tensor(1.0))


def test_an_untrained_query_takes_the_mean_of_an_organs_features():
    network = tiny_method("fvlm").network.eval()
    images = torch.randn(1, 1, 32, 32, 16)
    tokens = torch.zeros(1, 4, 64, dtype=torch.bool)
    tokens[0, 2, [3, 8, 21]] = True
    last, hidden = network.vision.with_hidden(images, [level - 1 for level in network.levels])
    features = torch.cat([t[:, 1:] for t in (*hidden, last)], dim=1)
    kept = tokens[0, 2].repeat(len(hidden) + 1)
    weight, bias = network.attention.in_proj_weight[-48:], network.attention.in_proj_bias[-48:]
    drawn = network.attention.out_proj((features[0, kept] @ weight.T + bias).mean(dim=0))
    width = network.image_projection.out_features // 4
    projected = network.image_projection(drawn)[2 * width : 3 * width]
    torch.testing.assert_close(network.organ_vectors(images, tokens)[0, 2], projected / projected.norm())


def gradients(objective, loss):
    parameters = {name: p for name, p in objective.module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {name for name, grad in zip(parameters, found, strict=True) if grad is not None and grad.any()}


def test_each_of_two_networks_learns_from_its_own_loss_alone():
    objective = tiny_method("fvlm", batch=4, micro_batch=4, coteach=True)
    objective.data.source.pairs = 1  # so that later micro-batches are epochs away
    batch = objective.batch(1)
    assert batch.trust_1.item() == 0.5
    losses = objective.compared([objective.rows(batch)])
    own, peer = (gradients(objective, losses[name]) for name in ("contrast", "peer"))
    assert own
    assert not any(name.startswith("peer.") for name in own)
    assert peer
    assert all(name.startswith("peer.") for name in peer)
    assert objective.weights == {"contrast": 1.0, "peer": 1.0}
    assert not torch.equal(objective.network.vision.blocks[0].attn.qkv.weight,
                           objective.network.peer.vision.blocks[0].attn.qkv.weight)  # fmt: skip


def test_trust_grows_along_a_line_and_stays():
    objective = tiny_method("fvlm", coteach=True)  # 4 samples a step in 4 micro-batches, 9 pairs an epoch
    trusts = [objective.batch(4 * step + 3).trust_1.item() for step in (0, 1, 3, 5, 90)]
    assert trusts == pytest.approx([0, 0.5 * 4 / 18, 0.5 * 12 / 18, 0.5, 0.5])


def test_rows_are_the_same_in_both_passes_and_whatever_shares_the_step():
    objective = tiny_method("fvlm", batch=4, micro_batch=2)
    objective.module.train()
    batches = [objective.batch(index) for index in range(2)]
    rows = []
    for batch in batches:
        torch.manual_seed(3)
        with torch.no_grad():
            rows.append(objective.rows(batch))
        torch.manual_seed(3)
        _, again = objective.totals_and_rows(batch)
        assert all(torch.equal(rows[-1][name], again[name]) for name in again)
    assert {name: row.shape[0] for name, row in rows[0].items()} == {
        "valid": 2, "normal": 2, "said": 2, "trust": 1, "image": 2, "text": 2, "temperature": 1,
    }  # fmt: skip
    whole = {name: torch.cat([r[name] for r in rows]) for name in rows[0]}
    assert objective.compared(rows)["contrast"].item() == pytest.approx(objective.compared([whole])["contrast"].item())


def test_texts_are_encoded_once_and_only_for_whole_organs():
    batch = tiny_method("fvlm", batch=8, micro_batch=8).batch(0)
    assert batch.valid_BO.any(dim=0).all()
    assert not batch.valid_BO.all()
    assert len(batch.ids_TL) < int(batch.valid_BO.sum())
    assert batch.text_BO[batch.valid_BO].unique().tolist() == list(range(len(batch.ids_TL)))


def test_no_organ_in_sight_is_no_loss_and_no_fault():
    objective = tiny_method("fvlm", batch=2, micro_batch=2)
    pair = dataclasses.replace(objective.data.source.pair(0), organs=Organs.whole(np.zeros((32, 32, 16), np.uint8), ()))
    loss = objective.compared([objective.rows(objective.side_by_side([pair, pair], range(2)))])["contrast"]
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in objective.module.parameters())


class _WithoutMaps(TinySource):
    def pair(self, ordinal):
        return dataclasses.replace(super().pair(ordinal), organs=None)


def test_without_label_maps_it_refuses_and_says_what_to_do():
    objective = tiny_method("fvlm")
    data = PairData(PRESETS["tiny"].frame, _WithoutMaps(3, 32))
    with pytest.raises(NoOrganMaps) as fault:
        METHODS["fvlm"].objective(objective.config, data, objective.settings, 3)
    assert "ts_seg" in fault.value.hint


def test_a_report_without_an_impression_is_read_by_its_words():
    objective = tiny_method("fvlm", organs=("lung", "heart"))
    pair = objective.data.source.pair(0)
    both = dataclasses.replace(pair, findings="A lung nodule. Normal heart.", impression="Emphysema.")
    alone = dataclasses.replace(both, impression="")
    assert [text.normal for text in objective.texts_of(both)] == [False, True]
    assert [text.normal for text in objective.texts_of(alone)] == [False, True]
    moved = dataclasses.replace(both, impression="A large heart.")
    assert [text.normal for text in objective.texts_of(moved)] == [True, False]


def test_the_same_words_are_the_same_text_only_as_a_whole():
    """Of the first nothing stands in the impression: it is normal, and what is encoded are its findings alone."""
    objective = tiny_method("fvlm", organs=("lung", "heart"))
    pair = objective.data.source.pair(0)
    below = dataclasses.replace(pair, findings="Lung nodule.", impression="A large heart.")
    above = dataclasses.replace(pair, findings="", impression="Lung nodule. A large heart.")
    lungs = [objective.texts_of(p)[0] for p in (below, above)]
    assert lungs[0].encoded == lungs[1].encoded
    batch = objective.side_by_side([below, above, above], range(3))
    assert batch.normal_BO[:, 0].tolist() == [True, False, False]
    assert batch.said_BO[0, 0] != batch.said_BO[1, 0] == batch.said_BO[2, 0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"organs": ("lung", "tail")}, "has no tail"),
        ({"organs": ("lung", "lung")}, "different names"),
        ({"decomposer": "json"}, "findings_file"),
        ({"batch": 3, "micro_batch": 2}, "batch of 3"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        FvlmSettings(**settings)


def test_a_recipe_with_an_unknown_organ_is_refused(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("name: a\nobjective: fvlm\nmethod: {organs: [lung, tail]}")
    with pytest.raises(UnusableRecipe, match="has no tail"):
        read_recipe(path)


def test_the_recipe_is_the_papers_but_for_the_method():
    ours, paper = (read_recipe(_recipe(name)) for name in ("fvlm", "paper"))
    assert ours.pretraining() == paper.pretraining()
    assert ours.schedule == paper.schedule
    assert (ours.method.batch, ours.method.micro_batch) == (48, 6)
    assert ours.method == FvlmSettings(batch=48, micro_batch=6)


def _recipe(name):
    from simcrop_training.recipe import RECIPES

    return RECIPES / f"{name}.yaml"


def test_the_prompts_are_for_sixteen_labels():
    assert {prompt.label for prompt in PROMPTS} == {*CT_RATE_LABELS} - {"Medical material", "Lymphadenopathy"}
    assert {prompt.organ for prompt in PROMPTS} == set(FvlmSettings().organs)


def zero_shot_case(shift=(0, 0, 0)):
    voxels = np.full((44, 40, 24), -1000, np.int16)
    labels = np.zeros(voxels.shape, np.uint8)
    place = tuple(slice(low + s, high + s) for low, high, s in zip((10, 10, 8), (18, 18, 14), shift, strict=True))
    voxels[place] = np.random.default_rng(2).integers(-300, 300, (8, 8, 6))
    labels[place] = 1
    return voxels, Organs.whole(labels, ("background", "heart"))


def test_zero_shot_asks_an_organ_that_is_larger_than_the_frame():
    """While training such an organ would not take part."""
    voxels = np.full((44, 40, 24), -300, np.int16)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[1:43, 1:39, 1:23] = 1
    ask = OrganZeroShot(tiny_method("fvlm"), (OrganPrompt("a", "heart", "Nodule"),))
    assert 0 < ask.scores(voxels, Organs.whole(labels, ("background", "heart")))["a"] < 1


def test_zero_shot_asks_each_organ_in_a_frame_of_its_own():
    objective = tiny_method("fvlm")
    prompts = (OrganPrompt("a", "heart", "Nodule"), OrganPrompt("b", "lung", "Nodule"), OrganPrompt("c", "spleen", "A"))
    ask = OrganZeroShot(objective, prompts)
    scores = ask.scores(*zero_shot_case())
    assert math.isnan(scores["b"])  # the scan shows none
    assert math.isnan(scores["c"])  # the network was not trained on it
    assert ask.scores(*zero_shot_case((11, 9, 5)))["a"] == pytest.approx(scores["a"], rel=1e-5)
    network = objective.network
    texts = network.text_vectors(*objective.pieces(["Not Nodule.", "Nodule."]))
    voxels, organs = zero_shot_case()
    frame = np.full((32, 32, 16), -1000, np.int16)
    box = (slice(10, 18), slice(10, 18), slice(8, 14))
    frame[12:20, 12:20, 5:11] = voxels[box]
    tokens = torch.zeros(4, 4, 4, dtype=torch.bool)
    tokens[1:3, 1:3, 1:3] = True
    images = torch.from_numpy(frame).float()[None, None] / 1000
    masks = torch.stack([tokens.flatten() & (organ == 1) for organ in range(4)])[None]
    vector = network.organ_vectors(images, masks)[0, 1]
    assert scores["a"] == pytest.approx((texts @ vector / TAU).softmax(0)[1].item(), rel=1e-4)
    assert organs.labels.any()
