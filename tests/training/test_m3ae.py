"""M3AE fills in words by the image and patches by the report, and tells which image a report is about."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from literal import (
    assert_same_gradients,
    attention,
    gelu,
    hidden_errors,
    linear,
    normed,
    reached,
    scores,
    surprise,
)
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.methods import METHODS
from simcrop_training.objectives.m3ae import M3aeSettings
from simcrop_training.objectives.pairs import PairData
from simcrop_training.recipe import RECIPES, read_recipe
from tiny_run import TinySource, tiny_method

from simcrop_core.models.config import ImageDecoderConfig
from simcrop_core.models.losses import standardised
from simcrop_core.models.masking import NOT_A_TARGET
from simcrop_core.models.patches import patch_vectors, unpatchify

PATCH = (8, 8, 4)


def m3ae(batch=4, **settings):
    """Three layers of co-attention, the image read before the second; in float64 and without dropout."""
    objective = tiny_method(
        "m3ae", **{"batch": batch, "micro_batch": batch, "co_layers": 3, "read_before": 2, **settings}
    )
    objective.module.double().eval()
    return objective


def layer(p, name, x, y, heads):
    """One layer of one stream, written out."""
    x = normed(p, f"{name}.norm1", x + attention(p, f"{name}.self_attn", x, x, heads))
    x = normed(p, f"{name}.norm2", x + attention(p, f"{name}.multihead_attn", x, y, heads))
    return normed(p, f"{name}.norm3", x + linear(p, f"{name}.linear2", gelu(linear(p, f"{name}.linear1", x))))


def streams(p, image, text, heads, depth):
    """Both streams after some layers, from encoded tokens."""
    x = linear(p, "image_projection", image) + p["image_type_token"][0]
    y = linear(p, "text_projection", text) + p["text_type_token"][0]
    for i in range(depth):
        x, y = (
            layer(p, f"co_attention.image_layers.{i}", x, y, heads),
            layer(p, f"co_attention.text_layers.{i}", y, x, heads),
        )
    return x, y


def one_by_one(objective, batch):
    """The three losses of a micro-batch, each report and image for itself, from three passes that share nothing."""
    network, heads = objective.module, objective.config.vision.heads
    p = dict(network.named_parameters())
    own = objective.frames(batch)
    partners = objective.frames(dataclasses.replace(batch, images_BHWD=batch.partners_RHWD))
    replaced = batch.replaced_R.tolist()
    words, patches, matches = [], [], []
    for b in range(len(own)):
        length = int(batch.attended_BT[b].sum())
        whole, masked = (network.text_encoder(ids[b : b + 1, :length])[0] for ids in (batch.words_BT, batch.report_BT))
        _, y = streams(p, network.vision(own[b : b + 1])[0], masked, heads, 3)
        found = scores(p, "word_head", y)
        labels = batch.labels_BT[b, :length].tolist()
        words += [surprise(found[t], label) for t, label in enumerate(labels) if label != NOT_A_TARGET]
        keep_1K = batch.keep_BK[b : b + 1]
        stored, _ = streams(p, network.vision(own[b : b + 1], keep_1K)[0], whole, heads, 2)
        patches += normalised_errors(network.image_decoder(stored[None], keep_1K)[0], own[b], keep_1K[0], objective)
        shown = partners[replaced.index(b)] if b in replaced else own[b]
        x, y = streams(p, network.vision(shown[None])[0], whole, heads, 3)
        poolers = zip(("image_pooler", "text_pooler"), (x[0], y[0]), strict=True)
        logit = linear(p, "match_head", torch.cat([torch.tanh(linear(p, name, first)) for name, first in poolers]))[0]
        matches.append(-torch.log(torch.sigmoid(-logit if b in replaced else logit)))
    return {"report": words, "image": patches, "match": matches}


def normalised_errors(predicted_NP, image, keep_K, objective):
    """As `literal.hidden_errors`, of an image whose patches are normalised."""
    patches_1NP = standardised(patch_vectors(image[None], PATCH), objective.config.norm_pix_floor)
    return hidden_errors(predicted_NP, unpatchify(patches_1NP, (4, 4, 4), PATCH)[0], keep_K, PATCH)


def test_the_three_losses_written_out():
    objective = m3ae()
    batch = objective.batch(0)
    totals, counts = objective.totals(batch), objective.counts(batch)
    assert len(batch.replaced_R) == 2
    for name, literal in one_by_one(objective, batch).items():
        assert len(literal) == counts[name]
        assert_same_gradients(totals[name], torch.stack(literal).sum(), objective.module)


def test_each_loss_moves_what_it_reads_and_nothing_else():
    objective = m3ae()
    network, totals = objective.module, objective.totals(objective.batch(0))
    of = {name: reached(totals[name], network) for name in objective.weights}
    every = {name for name, p in network.named_parameters() if p.requires_grad}
    assert set.union(*of.values()) == every

    def parts(names, prefix):
        return {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}

    heads = {"image_decoder", "word_head", "match_head", "image_pooler", "text_pooler"}
    assert parts(of["image"], "") & heads == {"image_decoder"}
    assert parts(of["report"], "") & heads == {"word_head"}
    assert parts(of["match"], "") & heads == {"match_head", "image_pooler", "text_pooler"}
    # The image is read as it enters the last of three layers: two of its own stand before, and one of the words'.
    assert parts(of["image"], "co_attention.image_layers.") == {"0", "1"}
    assert parts(of["image"], "co_attention.text_layers.") == {"0"}
    assert parts(of["report"], "co_attention.image_layers.") == {"0", "1"}
    assert parts(of["report"], "co_attention.text_layers.") == {"0", "1", "2"}
    for names in of.values():
        assert {"vision.cls_token", "text_encoder.words", "image_type_token", "text_type_token"} <= names
    assert not totals["match_right"].requires_grad


def test_half_of_the_images_are_another_studys():
    """Exactly one of each two successive frames, the same however the step is cut into micro-batches."""
    source, whole, parts = TinySource(3, 32), m3ae(32), m3ae(32, micro_batch=4)
    batch = whole.batch(0)
    replaced = batch.replaced_R.tolist()
    assert sorted(b // 2 for b in replaced) == list(range(16))
    assert 4 <= sum(b % 2 for b in replaced) <= 12
    pieces = [parts.batch(index) for index in range(8)]
    assert torch.cat([piece.partners_RHWD for piece in pieces]).equal(batch.partners_RHWD)
    assert [4 * i + b for i, piece in enumerate(pieces) for b in piece.replaced_R.tolist()] == replaced
    epochs = {}
    for ordinal in range(45):
        epochs.setdefault(ordinal // source.pairs, []).append(source.pair(ordinal))
    for image, b in zip(batch.partners_RHWD, replaced, strict=True):
        own = source.pair(b)
        (partner,) = [p for p in epochs[b // source.pairs] if torch.from_numpy(p.image).equal(image)]
        assert (partner.findings, partner.impression) != (own.findings, own.impression)


class OneReport(TinySource):
    """Every scan has the same words."""

    def pair(self, ordinal):
        return dataclasses.replace(super().pair(ordinal), findings="The heart is of normal size.", impression="")


def test_an_image_is_not_wrong_for_a_report_of_the_same_words():
    model = m3ae()
    data = PairData(model.data.frame, OneReport(3, 32))
    objective = METHODS["m3ae"].objective(model.config, data, model.settings, 3)
    batch = objective.batch(0)
    assert len(batch.replaced_R) == len(batch.partners_RHWD) == 0
    assert objective.totals(batch)["match"].isfinite()
    assert objective.counts(batch)["match"] == 4


def test_hidden_words_are_shown_as_mask_as_another_word_or_as_they_are():
    """80 %, 10 %, 10 % of 15 % of the words; what else is shown is as it was."""
    objective = tiny_method("m3ae", batch=2, micro_batch=2)
    vocabulary = objective.tokenizer.get_vocab()
    shown, said, words = [], [], 0
    for index in range(0, 400, 2):
        batch = objective.batch(index // 2)
        hidden_BT = batch.labels_BT != NOT_A_TARGET
        assert batch.report_BT[~hidden_BT].equal(batch.words_BT[~hidden_BT])
        shown.append(batch.report_BT[hidden_BT])
        said.append(batch.labels_BT[hidden_BT])
        words += int(batch.attended_BT.sum()) - 2 * len(batch.attended_BT)
    ids, labels = torch.cat(shown), torch.cat(said)
    assert len(ids) / words == pytest.approx(0.15, abs=0.02)
    mask, same = ids == vocabulary["[MASK]"], ids == labels
    assert float(mask.double().mean()) == pytest.approx(0.8, abs=0.04)
    assert float(same.double().mean()) == pytest.approx(0.1 + 0.1 / 30, abs=0.04)
    others = set(ids[~mask & ~same].tolist())
    assert len(others) > 15
    assert not others & {vocabulary[word] for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}


def test_what_becomes_of_a_word_does_not_depend_on_the_other_reports():
    alone, together = tiny_method("m3ae", micro_batch=1), tiny_method("m3ae", micro_batch=4)
    whole = together.batch(0).report_BT
    for b in range(4):
        row = alone.batch(b).report_BT[0]
        assert row.equal(whole[b, : len(row)])


def test_pooled_images_enter_co_attention_as_means_of_eight_patches():
    objective = m3ae(image_tokens="pooled")
    network, seen = objective.module, []
    network.image_projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = objective.batch(0)
    objective.totals(batch)
    assert [tokens.shape[1] for tokens in seen] == [1 + 8, 1 + 16, 1 + 8], "words, masked image, match"
    tokens_BNC = network.vision(objective.frames(batch))
    grid = tokens_BNC[:, 1:].unflatten(1, (4, 4, 4))
    assert seen[0][:, 0].allclose(tokens_BNC[:, 0])
    assert seen[0][:, 1 + 3].allclose(grid[:, 0:2, 2:4, 2:4].flatten(1, 3).mean(dim=1))


def test_what_a_pass_does_not_need_is_left_out_without_changing_it():
    network = m3ae().module
    x, y = torch.randn(2, 7, 48).double(), torch.randn(2, 5, 48).double()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    together = network.co_attention
    assert together.image_before(2, x, y, padding).equal(together(x, y, padding, 2)[0])
    assert together.text_after(x, y, padding).equal(together(x, y, padding)[1])
    noisy = y.clone()
    noisy[1, 3:] = 100.0
    assert together(x, noisy, padding)[0].allclose(together(x, y, padding)[0]), "padding is not read"


def test_the_recipe_has_the_sources_sizes():
    recipe = read_recipe(RECIPES / "m3ae.yaml")
    config, method = recipe.pretraining(), recipe.method
    assert config.image_decoder == ImageDecoderConfig(dim=384, depth=4, heads=6)
    assert (config.mask_ratio, config.text_mask_ratio, config.text_mask_unit, config.norm_pix) == (
        0.75,
        0.15,
        "word",
        True,
    )
    assert (method.co_layers, method.read_before, method.image_tokens) == (6, 3, "full")


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="before layer 7 of 6"):
        M3aeSettings(read_before=7)
    with pytest.raises(ValueError, match="batch of 5"):
        M3aeSettings(batch=5)
    model = m3ae()
    vision = dataclasses.replace(model.config.vision, cls_token=False)
    with pytest.raises(UnusableRecipe, match="class token"):
        METHODS["m3ae"].objective(dataclasses.replace(model.config, vision=vision), model.data, model.settings, 3)
