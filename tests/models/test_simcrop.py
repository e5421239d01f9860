"""The pre-training network as a whole: what learns from what, what is frozen, and every switch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from narrow_pretraining import NARROW
from transformers import BertConfig, BertModel

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import TextConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.masking import keep_indices, mask_report, visible_count, words_of
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.simcrop import PretrainingBatch, SimCroP

TINY = NARROW
BERT = BertConfig(vocab_size=64, hidden_size=48, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)


def network(seed=0, **switches):
    torch.manual_seed(seed)
    mean = switches.pop("text_mean", None)
    return SimCroP(replace(TINY, **switches), BertModel(BERT), mean)


def batch(config=TINY, seed=0):
    """Two frames, reports of 12 and 8 word pieces, five and three sentences."""
    torch.manual_seed(seed)
    vision = config.vision
    ids = torch.randint(10, 64, (2, 12))
    attended = torch.arange(12) < torch.tensor([[12], [8]])
    special = ~attended | (torch.arange(12) == 0)
    words = words_of(torch.zeros_like(special), special)
    report, labels = mask_report(ids, words, torch.rand(2, 12), ratio=config.text_mask_ratio, mask_id=4)
    return PretrainingBatch(
        images_B1HWD=torch.rand(2, 1, *vision.image) * 2 - 1,
        keep_BK=keep_indices(torch.rand(2, vision.tokens), visible_count(vision.tokens, config.mask_ratio)),
        sentences_BSC=torch.randn(2, 5, config.text.dim),
        identities_BS=torch.tensor([[1, 2, 3, 4, 5], [1, 6, 7, -1, -1]]),
        report_BT=report,
        attended_BT=attended,
        labels_BT=labels,
    )


def parts_reached(model, loss):
    model.zero_grad(set_to_none=True)
    loss.total.backward()
    return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_losses_at_the_start_are_those_of_chance():
    model = network().eval()
    losses = model(batch())
    assert set(losses) == {"image", "alignment", "report"}
    assert losses["report"].mean.item() == pytest.approx(math.log(64), abs=0.5)
    assert losses["alignment"].count == 2
    assert losses["image"].count == 2 * 48
    total = model.combined(losses)
    torch.testing.assert_close(total, torch.stack([loss.mean for loss in losses.values()]).sum())


def test_weights_and_counts_of_all_ranks_enter_the_sum():
    model = network(align_weight=0.5, report_weight=2.0).eval()
    losses = model(batch())
    counts = {name: 4 * loss.count for name, loss in losses.items()}
    expected = (losses["image"].mean + 0.5 * losses["alignment"].mean + 2 * losses["report"].mean) / 4
    torch.testing.assert_close(model.combined(losses, counts), expected)


def test_each_loss_reaches_its_own_parts():
    model = network()
    data = batch()
    assert parts_reached(model, model(data)["image"]) == {"vision", "image_decoder"}
    assert parts_reached(model, model(data)["alignment"]) == {"vision"}
    assert parts_reached(model, model(data)["report"]) == {"vision", "fusion", "text_decoder"}


def test_everything_that_is_not_frozen_learns():
    model = network()
    model.combined(model(batch())).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # Keys' biases shift all scores of a query alike: softmax cannot see them.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_the_frozen_text_encoder_stays_as_it_was():
    model = network()
    before = {key: tensor.clone() for key, tensor in model.bert_encoder.state_dict().items()}
    assert not any(p.requires_grad for p in model.bert_encoder.parameters())
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(2):
        optimiser.zero_grad()
        model.combined(model(batch())).backward()
        optimiser.step()
    assert all(torch.equal(before[key], tensor) for key, tensor in model.bert_encoder.state_dict().items())
    data = batch()
    assert model.training
    assert not model.bert_encoder.training
    first, second = (model.encode_text(data.report_BT, data.attended_BT) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_an_unfrozen_text_encoder_learns():
    model = network(freeze_text=False)
    assert "bert_encoder" in parts_reached(model, model(batch())["report"])
    assert model.bert_encoder.training
    assert any(key.startswith("bert_encoder.") for key in model.flat_state_dict())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sentence_embeddings_ignore_padding(pooling):
    model = network(text=TextConfig(encoder="test", dim=48, pooling=pooling)).eval()
    ids = torch.randint(10, 64, (1, 6))
    padded = torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    attended = torch.arange(9)[None] < 6
    short = model.embed_sentences(ids, torch.ones(1, 6, dtype=torch.bool))
    torch.testing.assert_close(model.embed_sentences(padded, attended), short, atol=1e-5, rtol=1e-4)
    states = model.encode_text(ids, torch.ones(1, 6, dtype=torch.bool))
    torch.testing.assert_close(short, states[:, 0] if pooling == "cls" else states.mean(1))


def test_hidden_patches_reach_the_image_loss_only():
    """Changing hidden voxels changes the target, and neither the alignment nor the report loss."""
    model = network().eval()
    data = batch()
    hidden = (set(range(64)) - set(data.keep_BK[0].tolist())).pop()
    x, y, z = hidden // 16, hidden // 4 % 4, hidden % 4
    images = data.images_B1HWD.clone()
    images[0, 0, 8 * x : 8 * x + 8, 8 * y : 8 * y + 8, 4 * z : 4 * z + 4] = 1.0
    before, after = model(data), model(replace(data, images_B1HWD=images))
    assert before["image"].total != after["image"].total
    assert before["alignment"].total == after["alignment"].total
    assert before["report"].total == after["report"].total
    every = network(align_on="all").eval()
    assert every(data)["alignment"].total != every(replace(data, images_B1HWD=images))["alignment"].total


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"use_align": False}, {"image", "report"}),
        ({"use_instance": False}, {"image", "alignment", "report"}),
        ({"use_word": False}, {"image", "alignment", "report"}),
        ({"use_instance": False, "use_word": False}, {"image", "alignment"}),
        ({"use_align": False, "use_instance": False, "use_word": False}, {"image"}),
    ],
)
def test_the_papers_ablations(switches, expected):
    model = network(**switches)
    losses = model(batch())
    assert set(losses) == expected
    assert model.combined(losses).isfinite()
    assert hasattr(model, "text_decoder") is ("report" in expected)


@pytest.mark.parametrize(
    "switches",
    [
        {"mim_on": "all"},
        {"mim_on": "ecamp"},
        {"norm_pix": True},
        {"align_on": "all"},
        {"normalise": False},
        {"projection": "linear"},
        {"projection": "mlp"},
        {"projection": "two-sided", "projection_dim": 16},
        {"centre_text": True, "text_mean": torch.full((48,), 2.0)},
        {"negatives": "batch"},
        {"pooled_by": "softmax"},
        {"top_k": 1},
        {"temperature": 0.2},
        {"fusion": "literal"},
        {"fusion": "ecamp"},
        {"project_global": True},
        {"use_instance": False},
        {"use_word": False},
        {"vision": replace(TINY.vision, cls_token=False)},
        {"vision": replace(TINY.vision, positions="simcrop_official")},
        {"image_decoder": replace(TINY.image_decoder, dim=24)},
        {"report_decoder": replace(TINY.report_decoder, dim=24)},
    ],
    ids=lambda switches: next(iter(switches)),
)
def test_every_switch_changes_the_loss(switches):
    model = network(**switches).eval()
    total = model.combined(model(batch()))
    assert total.isfinite()
    total.backward()
    default = network().eval()
    assert total.item() != pytest.approx(default.combined(default(batch())).item(), rel=1e-6)


def test_a_corpus_mean_goes_with_its_switch():
    with pytest.raises(ValueError, match="centre_text"):
        network(centre_text=True)
    with pytest.raises(ValueError, match="centre_text"):
        network(text_mean=torch.zeros(48))


@pytest.mark.parametrize("mean", [None, torch.linspace(-2, 2, 48)], ids=["raw", "centred"])
@pytest.mark.parametrize("projection", ["none", "linear", "mlp", "two-sided"])
def test_what_it_learned_is_a_grounding_model(projection, mean):
    model = network(projection=projection, projection_dim=16, centre_text=mean is not None, text_mean=mean).eval()
    grounding = model.grounding_model(PRESETS["tiny"].frame, top_k=4)
    images, sentences = batch().images_B1HWD, torch.randn(3, 48)
    patches = model.image_projection(model.vision.patch_features(images))
    assert torch.equal(grounding.encode(images), patches)
    centred = sentences if mean is None else sentences - mean
    torch.testing.assert_close(grounding.project(sentences), model.text_projection(centred), atol=1e-5, rtol=1e-4)
    again = GroundingModel(grounding.config)
    again.load_flat_state_dict(grounding.flat_state_dict())
    assert torch.equal(again.project(sentences), grounding.project(sentences))


def test_the_flat_state_there_and_back():
    model, other = network(projection="linear"), network(seed=5, projection="linear")
    state = model.flat_state_dict()
    assert {"cls_token", "blocks.0.norm1.weight", "decoder_blocks.0.norm1.weight", "mask_token"} <= set(state)
    assert {key.split(".")[0] for key in state} >= {"fusion", "text_decoder", "text_projection"}
    assert not any(key.startswith("bert_encoder.") for key in state)
    other.load_flat_state_dict(state)
    assert all(torch.equal(state[key], tensor) for key, tensor in other.flat_state_dict().items())
    with pytest.raises(IncompatibleWeights, match="mask_token"):
        other.load_flat_state_dict({key: tensor for key, tensor in state.items() if key != "mask_token"})
