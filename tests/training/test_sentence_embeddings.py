"""The sentences that a source knows, and what methods make of a store with them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from simcrop_training.build import objective_of
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.sample import report_of, sample_paths, texts_of
from simcrop_training.data.source import SampleSource, evenly_spread
from simcrop_training.data.store_source import StoreSource
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import number_of
from simcrop_training.recipe import Data, Recipe
from simcrop_training.store.store import Store
from store_making import MINILM

from simcrop_core.text.sentences import split_sentences


@pytest.fixture(scope="module")
def store(store_folder):
    return Store.open(store_folder)


def test_numbers_are_spread_evenly_and_all_of_them_where_there_is_room():
    assert evenly_spread(10, 4) == [0, 2, 5, 7]
    assert evenly_spread(3, 8) == [0, 1, 2]


def test_a_store_knows_the_sentences_of_its_splits_findings_once_each(store):
    source = StoreSource(store, MINILM, split="train", seed=0)
    rows = source.sentence_embeddings(100)
    said = source.pair(0).embeddings_SC
    assert rows.shape == said.shape  # One report, of two volumes.
    assert sorted(map(tuple, rows)) == sorted(map(tuple, said))
    assert len(source.sentence_embeddings(1)) == 1


def test_samples_know_the_sentences_of_their_reports_alone(phantom_folder):
    """Not what is only asked of them, nor what held-out samples say."""
    paths = sample_paths([phantom_folder])
    texts = sorted({text for path in paths for text in texts_of(path)})
    known = {text: np.full(3, number, np.float32) for number, text in enumerate(texts)}
    said = sorted({sentence for path in paths for sentence in split_sentences(report_of(path))})
    rows = SampleSource(paths, known, Augmentation(), 0).sentence_embeddings(len(texts) + 5)
    assert rows[:, 0].tolist() == [texts.index(sentence) for sentence in said]
    assert len(said) < len(texts)


@pytest.mark.parametrize("name", ["biud", "mg3d"])
def test_the_methods_take_a_store(name, store, store_folder, tmp_path):
    settings = dataclasses.replace(METHODS[name].settings(), batch=2, micro_batch=2)
    recipe = Recipe(name=name, objective=name, preset="small", method=settings)
    objective = objective_of(recipe, Data(store=store_folder), sentences=tmp_path / "sentences.pt")
    batch = objective.batch(0)
    if name == "biud":
        # Both volumes are of one report, and its nearest sentence is one of its own.
        assert batch.known_BC[0].equal(batch.known_BC[1])
        bank = {tuple(row) for row in objective.bank.image_MX.tolist()}
        assert {tuple(row) for row in batch.expert_BX.tolist()} <= bank
    else:
        patient = next(study.patient for study in store.studies if study.split == "train")
        assert batch.patients_B.tolist() == [number_of(patient)] * 2
        assert batch.belongs_BST.any(dim=2).tolist() == [[True] * 3] * 2
