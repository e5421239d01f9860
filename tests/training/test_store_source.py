"""Pairs of scan and report out of a training store, and a run on them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from simcrop_training.build import in_steps, objective_of
from simcrop_training.data.store_source import CropSettings, StoreSource
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.engine.loop import Loop
from simcrop_training.export import export_run
from simcrop_training.recipe import Data, identity_of, read_recipe
from simcrop_training.store.store import Store
from store_making import MINILM

from simcrop_core.models.weights_file import load_weights
from simcrop_core.text.encoder import load_text_encoder

STILL = CropSettings(jitter=(0, 0, 0), shift_hu=0.0)


@pytest.fixture(scope="module")
def store(store_folder):
    return Store.open(store_folder)


def source(store, split="train", **options):
    return StoreSource(store, MINILM, split=split, seed=4, **options)


def test_a_still_crop_is_the_frame_and_its_report(store):
    pair = source(store, "valid", crop=STILL).pair(0)
    volume = store.studies[1].volumes[0]
    assert np.array_equal(pair.image, store.crop(volume, volume.frame_start))
    assert pair.sentences == ("Trachea is open.", "Normal heart.")
    expected = load_text_encoder(MINILM).encode(pair.sentences).numpy()
    np.testing.assert_allclose(pair.embeddings_SC, expected, atol=1e-5)


def test_the_impression_is_kept_apart_and_not_aligned(store):
    pair = source(store).pair(0)
    assert pair.sentences == ("Trachea is open.", "A nodule is seen in the right upper lobe.")
    assert pair.impression == "Lung nodule."


def test_a_place_in_the_run_is_always_the_same_and_two_places_differ(store):
    one, two = source(store), source(store)
    assert np.array_equal(one.pair(5).image, two.pair(5).image)
    epochs = [one.pair(ordinal).image for ordinal in range(0, 6, 2)]
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(epochs))


def test_an_epoch_by_study_shows_each_study_once(store):
    assert source(store).pairs == 2
    assert source(store, crop=CropSettings(unit="study")).pairs == 1


def test_a_split_without_studies_is_named(store):
    with pytest.raises(NothingToLearnFrom, match="'test'"):
        source(store, "test")


@pytest.mark.slow
def test_from_a_store_to_weights_that_load(store_folder, tmp_path):
    data = Data(store=store_folder)
    recipe = read_recipe(Path("smoke"))
    objective = objective_of(recipe, data, sentences=tmp_path / "sentences.pt")
    recipe = in_steps(recipe, objective)
    outcome = Loop(objective, recipe.schedule, tmp_path, identity=identity_of(recipe)).run()
    assert outcome.finished
    assert {"image", "alignment", "report"} <= outcome.metrics.keys()
    _, metadata = load_weights(export_run(objective, recipe, data, outcome, tmp_path)[0])
    assert metadata.provenance.recipe == "smoke"
    assert "CT-RATE" in metadata.provenance.trained_on
    assert metadata.provenance.licence == Store.open(store_folder).terms
