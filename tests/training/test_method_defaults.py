"""What every method is by default: the numbers of its page in docs/methods, written down a second time."""

from __future__ import annotations

import dataclasses

import pytest
from simcrop_training.cli import main
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.methods import METHODS
from simcrop_training.recipe import RECIPES, read_recipe
from tiny_run import tiny_method

from simcrop_core.models.config import ImageDecoderConfig, ReportDecoderConfig

# Of the network: what differs from SimCroP's.
NETWORKS = {
    "random": {}, "random_zero_pos": {}, "ctclip": {}, "m3d_shared": {}, "biud": {}, "fvlm": {},
    "simcrop": {}, "simcrop_plus": {},
    "mae3d": {"norm_pix_floor": 0.01},
    "mrm": {"text_mask_ratio": 0.5},
    "m3ae": {"text_mask_ratio": 0.15, "norm_pix": True, "image_decoder": ImageDecoderConfig(384, 4, 6)},
    "mg3d": {"mask_ratio": 0.5, "text_mask_ratio": 0.15},
}  # fmt: skip
SIMCROP = {
    "mask_ratio": 0.75, "image_decoder": ImageDecoderConfig(768, 4, 12), "norm_pix": False,
    "norm_pix_floor": 0.05, "mim_on": "masked",
    "top_k": 64, "temperature": 0.07, "normalise": True, "negatives": "report", "pooled_by": "mean",
    "align_on": "visible", "projection": "none", "text_mask_ratio": 0.75, "text_mask_unit": "word",
    "mlm_on": "masked", "fusion": "residual", "fusion_heads": 12, "align_weight": 1.0, "report_weight": 1.0,
    "freeze_text": True, "report_decoder": ReportDecoderConfig(30522, 768, 6, 6, 1536, 0.1),
}  # fmt: skip
SETTINGS = {
    "ctclip": {
        "dim": 512, "pool": "mean", "scale": pytest.approx(1 / 0.07), "scale_rule": "exp", "largest_scale": 100,
        "soft_same_text": True, "sections": "findings and impression",
    },
    "m3d_shared": {"dim": 768, "pool": "cls", "scale": 2.659, "scale_rule": "raw", "soft_same_text": True},
    "m3ae": {"co_layers": 6, "read_before": 3, "image_tokens": "full"},
    "fvlm": {
        "organs": ("lung", "heart", "esophagus", "aorta"), "levels": (4, 7, 10), "dim": 256, "heads": 4,
        "dropout": 0.1, "temperature": 0.07, "temperature_range": (0.001, 0.5), "normal_rule": "impression",
        "coteach": False, "trust": 0.5, "trust_epochs": 2.0, "report_tokens": 384, "allow_border": True,
    },
    "mg3d": {
        "temperature": 0.1, "sal": 0.1, "cml": 0.1, "dcl": 0.1, "ssm": 0.1, "alike": 0.9, "unlike": 0.6,
        "cross": "sigmoid", "cross_layers": 2,
    },
    "biud": {"delta": 0.95, "temperature": 0.07, "entity_ratio": 0.5, "other_ratio": 0.15, "expert_bank": None},
    "simcrop_plus": {
        "across": 1.0, "instance": 1.0, "boilerplate": 0.5, "hard_negatives": 8, "label_aware": True, "softness": 0.3,
        "features_first": 0, "supervision": 0.0, "instance_pool": "mean", "instance_text": "sentences",
    },
}  # fmt: skip
WEIGHTS = {
    "mae3d": {"image": 1}, "mrm": {"image": 1, "report": 1}, "m3ae": {"image": 1, "report": 1, "match": 1},
    "ctclip": {"contrast": 1}, "m3d_shared": {"contrast": 1}, "fvlm": {"contrast": 1},
    "simcrop": {"image": 1, "alignment": 1, "report": 1},
    "simcrop_plus": {"image": 1, "alignment": 1, "report": 1, "across": 1, "instance": 1},
    "biud": {"contrast": 1, "pair": 1, "relation": 1, "report": 1, "corrected": 0},
    "mg3d": {"image": 1, "report": 1, "sal": 0.1, "cml": 0.1, "dcl": 0.1, "ssm": 0.1},
    "random": {}, "random_zero_pos": {},
}  # fmt: skip
ON_PAIRS = [name for name, method in METHODS.items() if method.objective is not None]


def own_recipe(name):
    """Of simcrop the paper's is its own; what trains nothing shares one."""
    file = {"simcrop": "paper", "random_zero_pos": "random"}.get(name, name)
    return read_recipe(RECIPES / f"{file}.yaml", objective="random_zero_pos" if name == "random_zero_pos" else None)


@pytest.mark.parametrize("name", ON_PAIRS)
def test_the_recipe_of_a_method_has_its_network(name):
    config = own_recipe(name).pretraining()
    assert {field: getattr(config, field) for field in SIMCROP} == SIMCROP | NETWORKS[name]
    assert (config.vision.dim, config.vision.depth, config.vision.heads, config.vision.tokens) == (768, 12, 12, 2744)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_the_methods_own_by_default_and_in_its_recipe(name):
    for settings in (METHODS[name].settings(), own_recipe(name).method):
        assert {field: getattr(settings, field) for field in SETTINGS[name]} == SETTINGS[name]


@pytest.mark.parametrize("name", ON_PAIRS)
def test_losses_have_their_weights(name):
    assert tiny_method(name).weights == WEIGHTS[name]


@pytest.mark.parametrize(
    ("name", "base", "switched"),
    [
        ("plus_no_across", "simcrop_plus", {"across": 0.0}),
        ("plus_no_instance", "simcrop_plus", {"instance": 0.0}),
        ("plus_no_boilerplate", "simcrop_plus", {"boilerplate": 0.0}),
        ("plus_no_hard_negatives", "simcrop_plus", {"hard_negatives": 0}),
        ("plus_no_labels", "simcrop_plus", {"label_aware": False}),
        ("plus_no_warm_up", "simcrop_plus", {"softness": 0.0, "warm_up": 0}),
        ("plus_features_first", "simcrop_plus", {"features_first": 20 * 982}),
        ("plus_supervised", "plus_small_phantom", {"supervision": 1.0}),
    ],
)
def test_an_ablation_of_simcrop_plus_switches_its_part_and_nothing_else(name, base, switched):
    own, other = (read_recipe(RECIPES / f"{recipe}.yaml") for recipe in (name, base))
    of_own, of_other = (dataclasses.asdict(recipe.method) for recipe in (own, other))
    assert {field: value for field, value in of_own.items() if value != of_other[field]} == switched
    assert (own.schedule, own.pretraining(), own.preset) == (other.schedule, other.pretraining(), other.preset)


def test_known_places_hide_fewer_patches_and_change_nothing_else():
    own, other = (read_recipe(RECIPES / f"{name}.yaml") for name in ("compare_plus_supervised", "compare_plus"))
    assert own.method == dataclasses.replace(other.method, supervision=1.0)
    assert own.pretraining() == dataclasses.replace(other.pretraining(), mask_ratio=0.25)
    assert (own.schedule, own.preset) == (other.schedule, other.preset)


def test_sentences_of_mg3d_are_compared_in_eight_dimensions():
    projection = tiny_method("mg3d").module.sentence_projection
    assert [tuple(projection[i].weight.shape) for i in (0, 2)] == [(128, 32), (8, 128)]


def test_the_command_names_every_method(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["simcrop-train", "--list-objectives"])
    main()
    said = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert said.keys() == {*METHODS, "m3d"}
    assert {name for name, line in said.items() if "reconstruction" in line} == {"biud", "mg3d"}


def test_published_weights_are_not_trained_and_the_refusal_says_how_to_have_them():
    with pytest.raises(UnusableRecipe) as fault:
        read_recipe(RECIPES / "paper.yaml", objective="m3d")
    assert "simcrop weights import" in fault.value.hint
    assert "m3d_shared" in fault.value.hint
