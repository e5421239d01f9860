"""Sentences asked in their short form: as often as the recipe says, and the same after a resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from simcrop_training.build import objective_of
from simcrop_training.objectives.grounding import Grounding, GroundingSettings
from simcrop_training.recipe import Data, read_recipe, recipe_of

from simcrop_core.models.presets import PRESETS
from simcrop_core.text.short_form import closed, short_form

PLAIN = {
    "name": "tiny", "objective": "grounding", "preset": "tiny", "schedule": {"steps": 4},
    "method": {"batch": 2, "word_noise": 0.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def objective_with(phantom_folder, tmp_path_factory):
    """The objective at a rate of short forms, on two phantoms."""
    sentences = tmp_path_factory.mktemp("sentences") / "sentences.pt"
    data = Data(synthetic=(phantom_folder,), held_out=(phantom_folder,))

    def build(rate):
        recipe = recipe_of({**PLAIN, "method": {**PLAIN["method"], "short_rate": rate}})
        return objective_of(recipe, data, sentences=sentences)

    return build


def asked_of(objective, step=0):
    return torch.cat([asked.embeddings_SC for asked in objective.batch(step).asked])


def test_by_default_sentences_are_asked_as_they_are_written(objective_with):
    assert GroundingSettings().short_rate == 0
    plain = objective_with(0.0)
    assert not plain.grounding_model().config.text.short_forms
    written = {tuple(row.tolist()) for row in plain._embeddings.values()}
    assert all(tuple(row.tolist()) in written for row in asked_of(plain))


def test_the_share_asked_in_short_is_the_one_set_and_nothing_else_changes(objective_with):
    # Nearly never: sentences are closed by a full stop, and written out.
    plain, some, every = (asked_of(objective_with(rate)) for rate in (1e-12, 0.4, 1.0))
    has_short = (plain != every).any(1)
    short = (some == every).all(1) & has_short
    assert ((some == plain).all(1) | short).all()
    assert 0.2 < short.sum() / has_short.sum() < 0.6
    assert has_short.float().mean() > 0.3


def test_a_sentence_without_a_full_stop_is_learned_with_it(objective_with):
    """As `embed` reads it: how a sentence ends must not decide what it means."""
    objective = objective_with(0.4)
    for text, row in objective._embeddings.items():
        assert torch.equal(row, objective._embeddings.get(closed(text), row)), text
    assert any(not text.endswith((".", "?")) for text in objective._embeddings)


def test_the_same_step_asks_the_same_whatever_came_before(objective_with):
    first, resumed = objective_with(0.4), objective_with(0.4)
    before = asked_of(first, 2)
    assert torch.equal(asked_of(first, 3), asked_of(resumed, 3))
    assert not torch.equal(before[:5], asked_of(first, 3)[:5])


def test_weights_trained_with_short_forms_read_them_and_are_measured_so(objective_with):
    objective = objective_with(0.4)
    config = objective.grounding_model().config
    assert config.text.short_forms
    assert dataclasses.replace(config, text=PRESETS["tiny"].text) == PRESETS["tiny"]
    with torch.no_grad():
        assert 0 <= objective.measure()["hit"] <= 1


def test_every_short_form_has_its_embedding(objective_with):
    objective = objective_with(0.4)
    assert isinstance(objective, Grounding)
    assert objective._short
    assert all(objective._embeddings[short] is not None for short in objective._short.values())
    assert all(short_form(text) == short for text, short in list(objective._short.items())[:20])


def test_the_starter_recipe_asks_two_in_five_in_short():
    assert read_recipe(Path("starter-grounding")).method.short_rate == 0.4
