"""The network behind `ground` and its flat state."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import ModelConfig, TextConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS

TINY = PRESETS["tiny"]
WIDE_TEXT = TextConfig(encoder="minilm", dim=48)


def images():
    return torch.rand(2, 1, *TINY.vision.image) * 2 - 1


@pytest.mark.parametrize(("projection", "width"), [("linear", 48), ("mlp", 48), ("two-sided", 20), ("none", 48)])
def test_sentences_and_patches_meet_in_one_space(projection, width):
    text = WIDE_TEXT if projection == "none" else TINY.text
    model = GroundingModel(replace(TINY, projection=projection, projection_dim=20, text=text))
    assert model.encode(images()).shape == (2, TINY.vision.tokens, width)
    assert model.project(torch.rand(5, text.dim)).shape == (5, width)
    assert model.width == width


def test_without_a_projection_the_widths_must_agree():
    with pytest.raises(ValueError, match="need a projection"):
        GroundingModel(replace(TINY, projection="none"))


@pytest.mark.parametrize("projection", ["linear", "mlp", "two-sided"])
def test_the_flat_state_there_and_back(projection):
    config = replace(TINY, projection=projection)
    model, other = GroundingModel(config), GroundingModel(config)
    state = model.flat_state_dict()
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.mlp.fc2.bias", "norm.weight"} < set(state)
    other.load_flat_state_dict(state)
    frames, sentences = images(), torch.rand(3, TINY.text.dim)
    assert torch.equal(model.encode(frames), other.encode(frames))
    assert torch.equal(model.project(sentences), other.project(sentences))


def test_tensors_that_do_not_fit_are_named_and_none_is_taken():
    model = GroundingModel(TINY)
    state = model.flat_state_dict()
    before = {key: tensor.clone() for key, tensor in state.items()}
    del state["blocks.0.attn.qkv.weight"]
    state["norm.bias"] = torch.zeros(7)
    state["blocks.9.norm1.bias"] = torch.zeros(48)
    state["cls_token"] = torch.ones(1, 1, 48)
    with pytest.raises(IncompatibleWeights) as fault:
        model.load_flat_state_dict(state)
    for told in ("blocks.0.attn.qkv.weight", "norm.bias (7,) for (48,)", "blocks.9.norm1.bias"):
        assert told in fault.value.message
    assert all(torch.equal(before[key], tensor) for key, tensor in model.flat_state_dict().items())


def test_a_table_from_the_file_is_asked_for_only_by_its_mode():
    built = GroundingModel(TINY)
    state = built.flat_state_dict()
    stored = state.pop("pos_embed") + 1.0
    built.load_flat_state_dict(state)
    taking = GroundingModel(replace(TINY, vision=replace(TINY.vision, positions="checkpoint")))
    with pytest.raises(IncompatibleWeights, match="pos_embed"):
        taking.load_flat_state_dict(state)
    for model in (built, taking):
        model.load_flat_state_dict(state | {"pos_embed": stored})
        assert torch.equal(model.vision.pos_embed, stored)
        with pytest.raises(IncompatibleWeights, match="pos_embed"):
            model.load_flat_state_dict(state | {"pos_embed": stored[:, 1:]})


def test_fast_features_and_exact_sentences_live_in_one_model():
    """The engine keeps the projection in float32 beside an encoder in bfloat16."""
    model = GroundingModel(TINY)
    sentences = torch.rand(3, TINY.text.dim)
    exact = model.project(sentences)
    model.vision.to(torch.bfloat16)
    assert model.encode(images()).dtype == torch.bfloat16
    assert torch.equal(model.project(sentences), exact)
    fast = model.to(torch.bfloat16).project(sentences).float()
    assert F.cosine_similarity(fast, exact).min() > 0.999


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_configuration_survives_a_weights_file(name):
    config = PRESETS[name]
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
