"""The embeddings that a run keeps of its samples' sentences: each of the tower that made it."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import torch
from simcrop_training.build import embed, objective_of
from simcrop_training.methods import METHODS
from simcrop_training.recipe import Data, Recipe
from store_making import MINILM
from tiny_run import SENTENCES, toy_bert

from simcrop_core.text.encoder import load_text_encoder

TEXTS = list(SENTENCES[:3])


def by(config, texts=TEXTS):
    return dict(zip(texts, load_text_encoder(config).encode(texts), strict=True))


@pytest.mark.parametrize(
    "other", [toy_bert(), dataclasses.replace(MINILM, pooling="cls"), dataclasses.replace(MINILM, max_tokens=4)]
)
def test_what_one_tower_made_is_not_given_for_another(tmp_path, other):
    store = tmp_path / "run" / "sentences.pt"
    for config in (MINILM, other, MINILM):
        found = embed(TEXTS, config, store)
        assert all(found[text].equal(row) for text, row in by(config).items())


def test_what_is_there_is_not_encoded_again_and_what_is_new_is_added(tmp_path):
    store = tmp_path / "sentences.pt"
    embed(TEXTS[:2], MINILM, store)
    (file,) = tmp_path.iterdir()
    marked = {text: torch.full_like(row, 7.0) for text, row in torch.load(file, weights_only=True).items()}
    torch.save(marked, file)
    found = embed(TEXTS, MINILM, store)
    assert all((found[text] == 7).all() for text in TEXTS[:2])
    assert found[TEXTS[2]].equal(by(MINILM)[TEXTS[2]])
    assert torch.load(file, weights_only=True).keys() == set(TEXTS)


def test_ranks_that_write_it_at_once_leave_a_whole_file_and_nothing_else(tmp_path):
    store, failed = tmp_path / "sentences.pt", []

    def rank():
        try:
            embed(TEXTS, MINILM, store)
        except OSError as fault:
            failed.append(fault)

    ranks = [threading.Thread(target=rank) for _ in range(4)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join()
    assert not failed
    (file,) = tmp_path.iterdir()
    assert torch.load(file, weights_only=True).keys() == set(TEXTS)


def test_a_method_reads_with_the_tower_of_its_recipe(phantom_folder, tmp_path):
    """Not with the one of the preset's name, which the recipe changes."""
    toy = toy_bert()
    model = {"text": dataclasses.asdict(toy), "report_dim": toy.dim}
    settings = METHODS["ctclip"].settings(batch=2, micro_batch=2, report_tokens=16)
    recipe = Recipe("own-tower", "ctclip", preset="tiny", model=model, method=settings)
    data = Data(synthetic=(phantom_folder,), held_out=(phantom_folder,))
    objective = objective_of(recipe, data, sentences=tmp_path / "sentences.pt")
    pair = objective.data.source.pair(0)
    expected = load_text_encoder(toy).encode(pair.sentences)
    torch.testing.assert_close(torch.from_numpy(pair.embeddings_SC), expected)
