"""Weights say what they were trained on and began with, and under which licence; what was not read is not named."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from simcrop_training.build import objective_of
from simcrop_training.cli import Run
from simcrop_training.engine.errors import UnreadData, UnusableCheckpoints
from simcrop_training.engine.loop import Outcome
from simcrop_training.methods import METHODS
from simcrop_training.provenance import provenance_of, start_of
from simcrop_training.recipe import Data, Recipe

from simcrop_core.errors import UnknownWeights
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import load_tensors, load_weights, save_weights, write_safetensors
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

TERMS = "CC BY-NC 4.0: whatever is trained from these weights stays non-commercial too"
SEEN = "Trained on hospital reports of somewhere."
DONE = Outcome(3, 1.0, {}, finished=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """An image encoder that may not be used commercially."""
    path = tmp_path_factory.mktemp("encoder") / "masked.safetensors"
    torch.manual_seed(9)
    vision = VisionTransformer(PRESETS["tiny"].vision)
    config = EncoderConfig("mae3d", PRESETS["tiny"].vision, PRESETS["tiny"].frame, {})
    provenance = Provenance(TERMS, SEEN, synthetic=False, notes=("Inflated from three colours.",))
    kept = {key: tensor for key, tensor in vision.state_dict().items() if key != "pos_embed"}
    save_weights(path, kept, WeightsMetadata("masked", config, provenance))
    return path


def recipe(objective):
    return Recipe("tiny", objective, preset="tiny", method=METHODS[objective].settings())


def folders(phantom_folder, **more):
    return Data((phantom_folder,), held_out=(phantom_folder,), **more)


def test_a_licence_goes_from_the_encoder_to_what_comes_of_it(encoder, phantom_folder):
    made = provenance_of(recipe("simcrop"), folders(phantom_folder), DONE, start=start_of(encoder))
    assert made.licence == TERMS
    assert SEEN in made.trained_on
    assert "masked" in made.trained_on
    assert "never on a hospital report" not in made.trained_on
    assert not made.synthetic
    assert made.notes[0] == "Inflated from three colours."
    assert start_of(encoder).sha256 in made.notes[-1]


def test_neither_of_two_licences_is_lost(encoder, store_folder):
    made = provenance_of(recipe("simcrop"), Data(store=store_folder), DONE, start=start_of(encoder))
    alone = provenance_of(recipe("simcrop"), Data(store=store_folder), DONE)
    assert alone.licence
    assert made.licence.split("; ")[-1] == TERMS
    assert alone.licence in made.licence or alone.licence == "Apache-2.0"


def test_an_encoder_trained_on_the_same_is_not_told_twice(phantom_folder, encoder):
    own = provenance_of(recipe("grounding"), folders(phantom_folder), DONE)
    start = dataclasses.replace(start_of(encoder), provenance=own)
    made = provenance_of(recipe("segmentation"), folders(phantom_folder), DONE, start=start)
    assert (made.trained_on, made.licence, made.synthetic) == (own.trained_on, own.licence, True)


def test_what_has_learned_nothing_was_not_trained_on_anything(encoder, phantom_folder):
    alone = provenance_of(recipe("random"), folders(phantom_folder), DONE, learned=False)
    begun = provenance_of(recipe("random"), folders(phantom_folder), DONE, learned=False, start=start_of(encoder))
    assert alone.trained_on == "Not trained: random numbers."
    assert alone.synthetic
    assert alone.data is None
    assert begun.trained_on.startswith("Not trained further")
    assert begun.licence == TERMS


@pytest.mark.parametrize("objective", ["random", "grounding"])
def test_the_command_begins_with_the_encoder_and_exports_its_licence(objective, encoder, phantom_folder, tmp_path):
    """Without a step, so that what was exported is what it began with."""
    path = tmp_path / "tiny.yaml"
    path.write_text(f"name: tiny\nobjective: {objective}\npreset: tiny\nschedule: {{steps: 0}}")
    run = Run(path, tmp_path / "out", synthetic=(phantom_folder,), held_out=(phantom_folder,), encoder=encoder)
    assert run.run() == 0
    (exported,) = (tmp_path / "out").glob("*.safetensors")
    tensors, metadata = load_weights(exported)
    assert metadata.provenance.licence == TERMS
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["licence"] == TERMS
    name = "blocks.0.attn.qkv.weight"
    assert tensors[name].equal(load_tensors(encoder)[name].half())
    with pytest.raises(UnusableCheckpoints, match="encoder differ"):
        dataclasses.replace(run, encoder=None).run()


def test_an_encoder_that_does_not_say_its_licence_is_refused(phantom_folder, tmp_path):
    bare = tmp_path / "bare.safetensors"
    write_safetensors(bare, {"cls_token": torch.zeros(1)}, {})
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\nobjective: random\npreset: tiny")
    run = Run(path, tmp_path / "out", synthetic=(phantom_folder,), held_out=(phantom_folder,), encoder=bare)
    with pytest.raises(UnknownWeights, match="does not say which model"):
        run.run()


@pytest.mark.parametrize("objective", [name for name, method in METHODS.items() if method.objective is not None])
def test_methods_on_reports_refuse_samples_of_real_scans(objective, phantom_folder, tmp_path):
    with pytest.raises(UnreadData, match=f"{objective} learns from scans with reports") as fault:
        objective_of(recipe(objective), folders(phantom_folder, real=(phantom_folder,)), sentences=tmp_path / "s.pt")
    assert "Leave out --real" in fault.value.hint


def test_samples_beside_a_store_are_refused(phantom_folder, store_folder, tmp_path):
    data = folders(phantom_folder, store=store_folder)
    with pytest.raises(UnreadData, match="not from both"):
        objective_of(recipe("simcrop"), data, sentences=tmp_path / "s.pt")
