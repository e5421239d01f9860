"""MG-3D's parts: sigmoid attention both ways, sentences as means of their words, and what patients' sentences share."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Schedule
from simcrop_training.methods import METHODS
from simcrop_training.objectives.cross_attention import CrossLayer, attention_weights
from simcrop_training.objectives.mg3d import sentence_numbers, similarity_loss
from simcrop_training.objectives.mg3d_network import sentence_means
from step_gradients import assert_same, gradients, gradients_in_pieces, losses_of, reached, steady, weighted
from tiny_run import SENTENCES, TinySource, tiny_method
from tokenizers import Tokenizer

from simcrop_core.text.encoder import MINILM


def test_the_method_is_flagged_as_a_reconstruction():
    assert METHODS["mg3d"].objective.reconstruction


def test_half_of_the_patches_and_few_words_are_hidden():
    objective = tiny_method("mg3d", batch=8, micro_batch=8)
    batch = objective.batch(0)
    assert batch.keep_BK.shape[1] == objective.config.vision.tokens // 2
    words = (batch.words_BT > 4).sum(dim=1)
    assert (batch.labels_BT != -100).sum(dim=1).tolist() == torch.round(words * 0.15).tolist()


# Attention.


def test_a_sigmoid_weighs_every_key_for_itself():
    scores = torch.tensor([2.0, 0.0, -1.0]).double().view(1, 1, 1, 3)
    kept = torch.ones(1, 3, dtype=torch.bool)
    found = attention_weights(scores, kept, "sigmoid").flatten()
    assert found.tolist() == pytest.approx([1 / (1 + 3 * math.exp(-s)) for s in (2, 0, -1)])
    louder = attention_weights(scores + torch.tensor([3.0, 0, 0]), kept, "sigmoid").flatten()
    assert louder[1:].equal(found[1:])
    assert louder[0] > found[0]


@pytest.mark.parametrize("count", [4, 64, 2744])
def test_keys_that_say_nothing_weigh_about_one_together(count):
    weights = attention_weights(torch.zeros(1, 1, 1, count), torch.ones(1, count, dtype=torch.bool), "sigmoid")
    assert weights.sum().item() == pytest.approx(count / (count + 1), rel=1e-5)


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_padding_is_not_drawn_from_and_changes_nothing(kind):
    torch.manual_seed(0)
    layer = CrossLayer(12, 2, kind).double()
    states, others = torch.randn(1, 3, 12).double(), torch.randn(1, 5, 12).double()
    padded = torch.cat([others, torch.full((1, 2, 12), 9.0).double()], dim=1).requires_grad_()
    kept = torch.arange(7)[None] < 5
    alone = layer(states, others, kept[:, :5])
    beside = layer(states, padded, kept)
    torch.testing.assert_close(beside[0], alone[0])
    assert (beside[1][..., 5:] == 0).all()
    beside[0].sum().backward()
    assert (padded.grad[:, 5:] == 0).all()


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_a_report_without_sentences_draws_nothing(kind):
    layer = CrossLayer(12, 2, kind)
    states, weights = layer(torch.randn(1, 3, 12), torch.zeros(1, 1, 12), torch.zeros(1, 1, dtype=torch.bool))
    assert torch.isfinite(states).all()
    assert (weights == 0).all()


def test_softmax_attention_is_pytorchs():
    torch.manual_seed(1)
    layer = CrossLayer(12, 2, "softmax").double()
    states, others = torch.randn(2, 3, 12).double(), torch.randn(2, 5, 12).double()
    kept = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    split = lambda x: x.view(2, -1, 2, 6).transpose(1, 2)  # noqa: E731
    query, key, value = split(layer.query(states)), split(layer.key(others)), split(layer.value(others))
    drawn = F.scaled_dot_product_attention(query, key, value, attn_mask=kept[:, None, None])
    mixed = layer.norm(states + layer.out(drawn.transpose(1, 2).flatten(2)))
    torch.testing.assert_close(layer(states, others, kept)[0], layer.out_norm(mixed + layer.feed_forward(mixed)))


def test_both_kinds_of_attention_learn():
    for kind in ("sigmoid", "softmax"):
        objective = steady("mg3d", cross=kind)
        found = gradients(objective.module, weighted(objective, losses_of(objective)))
        assert all(gradient.abs().max() > 1e-12 for gradient in found.values())


# Sentences.


def test_every_word_piece_knows_its_sentence():
    """Told by the characters each sentence has, with a tokenizer that cuts words and numbers."""
    tokenizer = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    sentences = ["Peribronchial thickening (3.5 mm) is seen.", "No.", "Bronchiectasis in the right lower lobe."]
    whole = tokenizer.encode(" ".join(sentences), add_special_tokens=False)
    alone = [tokenizer.encode(sentence, add_special_tokens=False) for sentence in sentences]
    assert whole.ids == [number for encoding in alone for number in encoding.ids]
    assert sentence_numbers(sentences, whole) == [n for n, encoding in enumerate(alone) for _ in encoding.ids]
    assert sentence_numbers([], tokenizer.encode("", add_special_tokens=False)) == []


def test_the_words_of_a_run_are_those_of_its_sentences():
    """Findings first, then the impression; [CLS], [SEP] and padding belong to none."""
    objective = tiny_method("mg3d", batch=4, micro_batch=4, report_tokens=60)
    batch = objective.batch(0)
    for b in range(4):
        said = objective.data.source.pair(b).sentences
        found = [objective.tokenizer.decode(batch.words_BT[b, own].tolist()) for own in batch.belongs_BST[b]]
        spoken = [objective.tokenizer.decode(objective.tokenizer.encode(s, add_special_tokens=False).ids) for s in said]
        assert [text for text in found if text] == spoken
    assert (batch.belongs_BST.sum(dim=1) == (batch.words_BT > 3)).all()


def test_a_sentence_that_was_cut_off_is_none():
    """Findings are cut at their end; the impression stays."""
    objective = tiny_method("mg3d", batch=8, micro_batch=8, report_tokens=12)
    batch, said = objective.batch(0), [objective.data.source.pair(b).sentences for b in range(8)]
    assert batch.words_BT.shape[1] == 12
    kept = batch.belongs_BST.any(dim=2)
    for b, sentences in enumerate(said):
        assert kept[b, len(sentences) - 1]
        assert not kept[b, len(sentences) :].any()
    assert objective.counts(batch)["sal"] == int(kept.sum()) < sum(map(len, said))


def test_a_sentence_is_the_mean_of_its_words():
    states = torch.arange(12.0).view(1, 6, 2)
    belongs = torch.tensor([[[0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]]).bool()
    assert sentence_means(states, belongs).tolist() == [[[3, 4], [6, 7], [0, 0]]]


# Sentences of different patients.

ANGLES = (0.0, math.acos(0.95), math.acos(0.75), math.acos(0.5))


def _turned(angles):
    return torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles], dtype=torch.float64)


def _similarity(regions, sentences, patients=None, said=None, **limits):
    count = len(sentences)
    said = torch.ones(count, dtype=torch.bool) if said is None else torch.tensor(said)
    patients = torch.arange(count) if patients is None else torch.tensor(patients)
    return similarity_loss(regions, sentences, said, patients, **{"alike": 0.9, "unlike": 0.6, **limits})


def test_like_sentences_ask_for_like_regions_and_unlike_ones_for_none():
    regions = torch.eye(2).double()
    assert _similarity(regions, _turned([0, ANGLES[1]])).item() == pytest.approx(0.95)
    assert _similarity(_turned([0, ANGLES[1]]), _turned([0, ANGLES[1]])).item() == pytest.approx(0, abs=1e-12)
    assert _similarity(regions, _turned([0, ANGLES[3]])).item() == pytest.approx(0, abs=1e-12)
    assert _similarity(_turned([0, 0]), _turned([0, ANGLES[3]])).item() == pytest.approx(1)


def test_sentences_that_are_neither_ask_for_nothing():
    regions = _turned([0.3, 1.2]).requires_grad_()
    loss = _similarity(regions, _turned([0, ANGLES[2]]))
    loss.backward()
    assert loss == 0
    assert (regions.grad == 0).all()
    mixed = _similarity(_turned([0, 0, 0]), _turned([0, ANGLES[2], ANGLES[3]]))  # 0.75 and 0.97 beside 0.5
    assert mixed.item() == pytest.approx((2 * 1 + 2 * (1 - math.cos(ANGLES[3] - ANGLES[2]))) / 4)


def test_only_sentences_of_different_patients_count():
    regions, sentences = torch.eye(2).double(), _turned([0, 0])
    assert _similarity(regions, sentences).item() == 1
    assert _similarity(regions, sentences, patients=[7, 7]) == 0
    assert _similarity(regions, sentences, said=[True, False]) == 0


def test_the_limits_themselves_count():
    regions = torch.eye(2).double()
    assert _similarity(regions, _turned([0, math.acos(0.9)]), alike=0.9 - 1e-9).item() == pytest.approx(0.9)
    assert _similarity(_turned([0, 0]), _turned([0, math.acos(0.6)]), unlike=0.6 + 1e-9).item() == pytest.approx(1)


def test_patients_are_told_apart_by_name_and_otherwise_by_report():
    objective = tiny_method("mg3d", batch=3, micro_batch=3)
    pair = TinySource(3, 32).pair(0)
    other = dataclasses.replace(pair, findings=SENTENCES[0])
    unnamed = objective.side_by_side([pair, pair, other], range(3)).patients_B
    assert unnamed[0] == unnamed[1] != unnamed[2]
    named = [dataclasses.replace(p, patient=name) for p, name in ((pair, "a"), (pair, "b"), (other, "a"))]
    first, second, third = objective.side_by_side(named, range(3)).patients_B
    assert first == third != second


# The whole.


def _drawn(stack, states, others):
    """Cross-attention written down head by head and query by query: states, and the last layer's mean weights."""
    for layer in stack.layers:
        size = states.shape[1] // layer.heads
        query, key, value = layer.query(states), layer.key(others), layer.value(others)
        drawn, means = torch.zeros_like(states), []
        for q in range(len(states)):
            by_head = []
            for head in range(layer.heads):
                own = slice(head * size, (head + 1) * size)
                scores = key[:, own] @ query[q, own] / math.sqrt(size)
                weights = 1 / (1 + len(others) * (-scores).exp())
                by_head.append(weights)
                drawn = drawn.index_put((torch.tensor(q), torch.arange(own.start, own.stop)), weights @ value[:, own])
            means.append(sum(by_head) / layer.heads)
        states = layer.norm(states + layer.out(drawn))
        states = layer.out_norm(states + layer.feed_forward(states))
    return states, torch.stack(means)


def _unit(vector):
    return vector / vector.norm()


def _infonce(left, right, texts, temperature):
    n, total = len(left), 0.0
    for i in range(n):
        same = [j for j in range(n) if texts[j] == texts[i]]
        for j in same:
            across = sum((left[i] @ right[k] / temperature).exp() for k in range(n)).log()
            down = sum((left[k] @ right[i] / temperature).exp() for k in range(n)).log()
            total = total + (across - left[i] @ right[j] / temperature) / len(same) / (2 * n)
            total = total + (down - left[j] @ right[i] / temperature) / len(same) / (2 * n)
    return total


def _plain(objective, batch):
    """All losses, scan by scan and sentence by sentence."""
    network, images = objective.network, objective.frames(batch)
    single, crossed, whole, drawn = [], [], [], []
    image = report = sal = 0.0
    patches_hidden = words_hidden = 0
    spoken = []
    for b in range(len(images)):
        length = int(batch.attended_BT[b].sum())
        patches = network.image_projection(network.vision(images[b : b + 1])[0, 1:])
        states = network.text_encoder(batch.words_BT[b : b + 1, :length])[0]
        belongs = [own[:length] for own in batch.belongs_BST[b] if own.any()]
        sentences = torch.stack([states[own].mean(0) for own in belongs])
        seen, weights = _drawn(network.text_from_image, sentences, patches)
        heard, _ = _drawn(network.image_from_text, patches, sentences)
        regions = torch.stack([w @ patches / w.sum() for w in weights])
        single.append(_unit(torch.cat([_unit(patches.mean(0)), _unit(sentences.mean(0))])))
        crossed.append(_unit(torch.cat([_unit(heard.mean(0)), _unit(seen.mean(0))])))
        whole.append(_unit(patches.mean(0)))
        drawn.append(_unit(regions.mean(0)))
        spoken += [(b, _unit(r), _unit(s)) for r, s in zip(regions, sentences, strict=True)]
        masked = network.text_encoder(batch.report_BT[b : b + 1, :length])[0]
        filled, _ = _drawn(network.text_from_image, masked, patches)
        for place in (batch.labels_BT[b] >= 0).nonzero()[:, 0].tolist():
            scores = network.head(filled[place])
            report, words_hidden = (
                report + scores.exp().sum().log() - scores[batch.labels_BT[b, place]],
                words_hidden + 1,
            )
        for own, sentence in zip(belongs, sentences, strict=True):
            found = network.sentence_projection(filled[own].mean(0))
            wanted = network.sentence_projection(sentence).detach()
            sal = sal + 1 - found @ wanted / (found.norm() * wanted.norm())
        keep = batch.keep_BK[b]
        predicted = network.image_decoder(network.vision(images[b : b + 1], keep[None]), keep[None])[0]
        blocks = images[b, 0].unfold(0, 8, 8).unfold(1, 8, 8).unfold(2, 4, 4).reshape(64, -1)
        for patch in sorted(set(range(64)) - set(keep.tolist())):
            image, patches_hidden = image + (predicted[patch] - blocks[patch]).square().mean(), patches_hidden + 1
    ssm, counted = 0.0, 0
    for i, region, sentence in spoken:
        for j, other_region, other_sentence in spoken:
            cosine = float(sentence @ other_sentence)
            if batch.patients_B[i] == batch.patients_B[j] or 0.6 < cosine < 0.9:
                continue
            ssm, counted = ssm + (region @ other_region - (cosine if cosine >= 0.9 else 0)).abs(), counted + 1
    texts = batch.reports_B.tolist()
    return {
        "image": image / patches_hidden, "report": report / words_hidden, "sal": sal / len(spoken),
        "cml": _infonce(crossed, single, texts, 0.1), "dcl": _infonce(drawn, whole, texts, 0.1), "ssm": ssm / counted,
    }  # fmt: skip


def test_values_and_gradients_are_those_of_the_plain_form():
    objective = steady("mg3d", batch=3, micro_batch=3)
    with torch.no_grad():
        objective.module.text_encoder.words.mul_(3)  # Otherwise all sentences of the toy encoder are alike.
    ours, plain = losses_of(objective), _plain(objective, objective.batch(0))
    for name, loss in plain.items():
        assert ours[name].item() == pytest.approx(loss.item(), rel=1e-9), name
    for name in ("image", "report", "sal", "cml", "dcl", "ssm"):
        assert_same(gradients(objective.module, ours[name]), gradients(objective.module, plain[name]))


def test_each_loss_reaches_what_it_is_about_and_nothing_else():
    objective = steady("mg3d")
    losses, module = losses_of(objective), objective.module
    seen = {"vision", "image_projection", "text_from_image"}
    assert reached(module, losses["image"]) == {"vision", "image_decoder"}
    assert reached(module, losses["report"]) == seen | {"head"}
    assert reached(module, losses["sal"]) == seen | {"sentence_projection"}
    assert reached(module, losses["cml"]) == seen | {"image_from_text"}
    assert reached(module, losses["dcl"]) == seen
    assert reached(module, losses["ssm"]) == seen


def test_the_gradient_is_the_same_in_one_piece_and_in_four():
    whole = steady("mg3d")
    at_once = gradients(whole.module, weighted(whole, losses_of(whole)))
    assert_same(gradients_in_pieces(steady("mg3d", micro_batch=1)), at_once)


def test_the_text_encoder_stays_as_it_is(tmp_path):
    objective = tiny_method("mg3d", micro_batch=2)
    text = {key: tensor.clone() for key, tensor in objective.network.text_encoder.state_dict().items()}
    Loop(objective, Schedule(steps=2, learning_rate=0.1, warm_up=1, measure_every=9), tmp_path, seed=3).run()
    assert all(tensor.equal(text[key]) for key, tensor in objective.network.text_encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in objective.network.text_encoder.parameters())
    assert not any("text_encoder" in key for key in objective.flat_state_dict())
