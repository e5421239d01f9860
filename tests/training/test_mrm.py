"""Masked record modelling: the image helps with every word by one and the same vector."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from literal import assert_same_gradients, attention, gelu, linear, normed, reached, scores, surprise
from simcrop_training.methods import METHODS
from simcrop_training.objectives.masked_reports import ReportMasker
from tiny_run import tiny_method

from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.presets import PRETRAINING_PRESETS
from simcrop_core.text.encoder import load_bert

REPORT = (
    "Peribronchovascular consolidation with bronchiectasis is seen in the posterobasal segment of the left lower lobe. "
    "The cardiothoracic ratio is normal and no pericardial effusion is observed. Atherosclerotic calcifications are "
    "present in the thoracic aorta and supraaortic branches. A subpleural nodule of 4 mm in the right upper lobe. "
)


def mrm(micro_batch=3):
    objective = tiny_method("mrm", batch=3, micro_batch=micro_batch)
    objective.module.double().eval()
    return objective


def test_the_image_reaches_words_by_its_mean_alone():
    objective = mrm()
    batch, network = objective.batch(0), objective.module
    visible_BKC = network.vision(objective.frames(batch), batch.keep_BK)[:, 1:].detach().requires_grad_()
    reports = (batch.report_BT, batch.attended_BT, batch.labels_BT)
    ours = network.word_scores(visible_BKC, *reports)
    one_B1C = visible_BKC.mean(dim=1, keepdim=True)
    assert ours.allclose(network.word_scores(one_B1C, *reports), rtol=1e-9)
    assert not ours.allclose(network.word_scores(one_B1C + 1, *reports), rtol=1e-3)
    (gradient_BKC,) = torch.autograd.grad(ours.square().sum(), visible_BKC)
    assert gradient_BKC.abs().max() > 0
    assert gradient_BKC.allclose(gradient_BKC[:, :1].expand_as(gradient_BKC), rtol=1e-9)


def test_every_word_gets_the_same_vector():
    objective = mrm()
    network, seen = objective.module, []
    network.text_decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = objective.batch(0)
    for visible_BKC in (torch.zeros(3, 5, 48).double(), torch.ones(3, 5, 48).double()):
        network.word_scores(visible_BKC, batch.report_BT, batch.attended_BT, batch.labels_BT)
    difference_BTC = seen[1] - seen[0]
    assert difference_BTC.abs().max() > 0.01
    assert difference_BTC.allclose(difference_BTC[:, :1].expand_as(difference_BTC), atol=1e-12)


def test_the_report_loss_written_out():
    objective = mrm()
    batch, network = objective.batch(0), objective.module
    images, p = objective.frames(batch), dict(network.named_parameters())
    config = objective.config.report_decoder
    literal = []
    for b in range(3):
        length = int(batch.attended_BT[b].sum())
        ids, labels = batch.report_BT[b, :length].tolist(), batch.labels_BT[b, :length].tolist()
        visible = network.vision(images[b : b + 1], batch.keep_BK[b : b + 1])[0, 1:]
        image = linear(p, "image_projection", sum(visible) / len(visible))
        words = torch.stack([p["words"][i] + p["positions"][place] for place, i in enumerate(ids)])
        x = linear(p, "text_decoder.embed", normed(p, "word_norm", words) + image)
        for layer in (f"text_decoder.layers.{i}" for i in range(config.depth)):
            x = normed(p, f"{layer}.norm1", x + attention(p, f"{layer}.self_attn", x, x, config.heads))
            hidden = linear(p, f"{layer}.linear2", gelu(linear(p, f"{layer}.linear1", x)))
            x = normed(p, f"{layer}.norm2", x + hidden)
        found = scores(p, "text_decoder.head", x)
        literal += [surprise(found[t], label) for t, label in enumerate(labels) if label != NOT_A_TARGET]
    assert len(literal) == objective.counts(batch)["report"]
    assert_same_gradients(objective.totals(batch)["report"], torch.stack(literal).sum(), network)


def test_each_loss_moves_its_own_decoder_and_both_the_encoder():
    objective = mrm()
    totals = objective.totals(objective.batch(0))
    image, report = (reached(totals[name], objective.module) for name in ("image", "report"))
    encoder = {f"vision.{name}" for name, _ in objective.vision.named_parameters()}
    assert {name for name in image if not name.startswith("image_decoder.")} == encoder
    assert encoder <= report
    assert not any(name.startswith("image_decoder.") for name in report)
    assert {"words", "positions", "word_norm.weight", "image_projection.weight"} <= report


def test_words_begin_as_the_text_encoders_and_are_learned():
    objective = tiny_method("mrm")
    _, bert = load_bert(objective.config.text)
    assert objective.module.words.equal(bert.words)
    assert objective.module.words.requires_grad


def masked_by(config, repeats):
    tokenizer, _ = load_bert(config.text)
    masker = ReportMasker(tokenizer, config, 512)
    noise = [np.random.default_rng(seed).random(512, dtype=np.float32) for seed in range(8)]
    return masker.masked([(REPORT * repeats, REPORT)] * 8, noise), tokenizer


def test_half_of_the_words_are_hidden_whole_and_behind_mask():
    config = dataclasses.replace(PRETRAINING_PRESETS["tiny"], **METHODS["mrm"].model)
    masked, tokenizer = masked_by(config, 3)
    mask = tokenizer.token_to_id("[MASK]")
    hidden_BT = masked.labels_BT != NOT_A_TARGET
    assert (masked.report_BT[hidden_BT] == mask).all()
    assert masked.report_BT[~hidden_BT].equal(masked.words_BT[~hidden_BT])
    assert masked.labels_BT[hidden_BT].equal(masked.words_BT[hidden_BT])
    shares, broken = [], 0
    for ids, hidden in zip(masked.words_BT.tolist(), hidden_BT.tolist(), strict=True):
        words: list[list[bool]] = []
        for token, behind in zip(map(tokenizer.id_to_token, ids), hidden, strict=True):
            if token in ("[CLS]", "[SEP]", "[PAD]"):
                assert not behind
            elif token.startswith("##"):
                words[-1].append(behind)
            else:
                words.append([behind])
        assert max(map(len, words)) >= 4
        broken += sum(len(set(word)) > 1 for word in words)
        shares.append(sum(word[0] for word in words) / len(words))
    assert broken == 0
    assert all(abs(share - 0.5) < 0.02 for share in shares)


def test_all_pieces_can_be_asked_for_as_in_the_source():
    model = {**METHODS["mrm"].model, "mlm_on": "all"}
    masked, _ = masked_by(dataclasses.replace(PRETRAINING_PRESETS["tiny"], **model), 1)
    asked = (masked.labels_BT != NOT_A_TARGET).sum(dim=1)
    assert asked.equal(masked.attended_BT.sum(dim=1) - 2), "all but [CLS] and [SEP]"
