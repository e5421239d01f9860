"""Weights that read short forms read every sentence twice, everywhere; other weights read it as it is written."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hand_set_weights import BRIGHT, PROVENANCE, find_bright

from simcrop_core.inference.embed import embed, texts_read
from simcrop_core.inference.engine import Engine, finding_texts
from simcrop_core.models.config import ModelConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.weights import WeightsMetadata, save_weights
from simcrop_core.text.cache import CachedTextEncoder
from simcrop_core.text.encoder import load_text_encoder
from simcrop_core.text.reference import reference_sentences
from simcrop_core.text.short_form import closed, short_form

READING_BOTH = dataclasses.replace(BRIGHT, text=dataclasses.replace(BRIGHT.text, short_forms=True))
SAID = ("LLL mass, 32 mm.", "Mass in the left lower lobe.", "The heart", "No effusion was seen.", "LLL mass, 32 mm.")


class Listening:
    """The packaged encoder, and what it was given."""

    def __init__(self):
        self._encoder = load_text_encoder(BRIGHT.text)
        self.dim = self._encoder.dim
        self.given = []

    def encode(self, sentences):
        self.given.append(list(sentences))
        return self._encoder.encode(sentences)


@pytest.fixture
def listening():
    return Listening()


def network(config):
    torch.manual_seed(0)
    return GroundingModel(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def reading_both(tmp_path_factory):
    """An engine on weights that find what is bright and read short forms, their words projected at random."""
    folder = tmp_path_factory.mktemp("both")
    model = find_bright(network(READING_BOTH))
    torch.nn.init.normal_(model.text_projection.weight, generator=torch.Generator().manual_seed(1))
    metadata = WeightsMetadata(name="both", config=READING_BOTH, provenance=PROVENANCE)
    save_weights(folder / "grounding.safetensors", model.flat_state_dict(), metadata)
    return Engine(str(folder), "cpu")


def literal(model, encoder, sentence):
    """The mean direction of a sentence and its short form, one by one."""
    texts = [closed(sentence), short_form(sentence) or closed(sentence)]
    return F.normalize(sum(F.normalize(model.project(encoder.encode([text])), dim=1) for text in texts), dim=1)[0]


def test_a_sentence_means_the_same_with_a_full_stop_and_without(listening):
    model = network(READING_BOTH)
    with_stop, without = embed(model, listening, ["Spiculated lesion on the left.", "Spiculated lesion on the left"])
    assert torch.equal(with_stop, without)


def test_a_sentence_is_read_halfway_between_itself_and_its_short_form(listening):
    model = network(READING_BOTH)
    read = embed(model, listening, SAID)
    assert len(listening.given) == 1, "one call of the encoder"
    assert len(set(listening.given[0])) == len(listening.given[0]), "nothing is encoded twice"
    for row, sentence in zip(read, SAID, strict=True):
        torch.testing.assert_close(row, literal(model, listening, sentence))
    assert not torch.allclose(read[0], F.normalize(model.project(listening.encode(SAID[:1])), dim=1)[0], atol=1e-3)


def test_other_weights_read_it_to_the_last_bit_as_before(listening):
    model = network(BRIGHT)
    assert torch.equal(embed(model, listening, SAID), model.project(listening.encode(SAID)))
    assert texts_read(BRIGHT.text, SAID) == list(SAID[:4])


def test_weights_files_without_the_field_do_not_read_short_forms():
    stored = BRIGHT.to_dict()
    del stored["text"]["short_forms"]
    assert ModelConfig.from_dict(stored) == BRIGHT
    assert not BRIGHT.text.short_forms
    assert ModelConfig.from_dict(READING_BOTH.to_dict()).text.short_forms


def test_the_packaged_weights_read_short_forms():
    engine = Engine("starter", "cpu")
    assert engine.config.text.short_forms
    read = engine.embed(SAID)
    for row, sentence in enumerate(SAID):
        assert torch.allclose(read[row], literal(engine.grounding_model, engine.text_encoder, sentence), atol=1e-5)


def test_other_weights_read_sentences_as_they_are_written(listening):
    model = network(BRIGHT)
    assert not model.config.text.short_forms
    assert torch.equal(embed(model, listening, SAID), model.project(listening.encode(SAID)))


def test_an_engine_reads_every_bank_of_sentences_alike(reading_both):
    some = slice(None, None, 100)
    for embedded, texts in (
        (reading_both.reference_embeddings, reference_sentences()),
        (reading_both.finding_embeddings, finding_texts()),
    ):
        for row, text in zip(embedded[some], texts[some], strict=True):
            expected = literal(reading_both.grounding_model, reading_both.text_encoder, text)
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)


def test_wordings_of_one_finding_come_nearer(reading_both):
    wordings = ["LLL mass, 32 mm.", "In the lower lobe of the left lung, a mass was observed."]
    model = reading_both.grounding_model
    plain = F.normalize(model.project(reading_both.text_encoder.encode(wordings)), dim=1)
    both = reading_both.embed(wordings)
    assert both[0] @ both[1] > plain[0] @ plain[1] + 0.02


def test_what_is_remembered_is_all_that_a_question_needs(listening):
    cached = CachedTextEncoder(listening)
    cached.encode(texts_read(READING_BOTH.text, SAID))
    listening.given.clear()
    embed(network(READING_BOTH), cached, SAID)
    assert not any(listening.given)


def test_no_sentences_give_no_embeddings(listening):
    assert embed(network(READING_BOTH), listening, []).shape == (0, BRIGHT.vision.dim)
