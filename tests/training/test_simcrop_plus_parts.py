"""The parts of simcrop_plus: weights of sentences, rivals, known places, vectors, what is exported."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from plus_reports import REPORTS, plus
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.sample import Sample, Truth, save_sample
from simcrop_training.data.source import SampleSource, reports_in
from simcrop_training.engine.errors import NothingToLearnFrom, UnusableRecipe
from simcrop_training.objectives.plus_batch import SentenceWeights
from simcrop_training.objectives.simcrop_plus import SimCroPPlus
from step_gradients import losses_of, reached
from tiny_run import TinySource, tiny_method

from simcrop_core.text.encoder import load_text_encoder


def test_sentences_that_every_report_holds_weigh_less():
    weights = SentenceWeights(REPORTS, 0.5)
    heart, nodule = (3**-0.5, 1.0)
    mean = (heart + nodule) / 2
    assert weights.of(["The heart is normal.", REPORTS[0][0]]).tolist() == pytest.approx([heart / mean, nodule / mean])
    assert SentenceWeights(REPORTS, 0.0).of(REPORTS[0]).tolist() == [1, 1, 1]
    tiny = TinySource(3)
    assert [set(said) for said in reports_in(tiny)] == [set(tiny.pair(n).sentences) for n in range(tiny.pairs)]


def test_rivals_are_not_true_of_the_report_and_do_not_depend_on_what_was_new_before():
    objective, again = plus(), plus()
    batch = objective.batch(0)
    list(map(again.batch, (3, 2, 1)))
    assert again.batch(0).rivals.embeddings_BRC.equal(batch.rivals.embeddings_BRC)
    encoder = load_text_encoder(objective.config.text)
    wanted = encoder.encode(["A nodule of 8 mm is seen in the left upper lobe."])[0]
    assert batch.rivals.embeddings_BRC[0, batch.rivals.of_F2[0, 0]].allclose(wanted, atol=1e-6)
    assert plus(hard_negatives=0).batch(0).rivals.there_BR.sum() == 0
    assert plus(hard_negatives=1).batch(0).rivals.there_BR.sum(dim=1).tolist() == [1] * 4


def test_places_that_are_known_are_learned():
    objective = plus(supervision=1.0)
    batch = objective.batch(0)
    assert objective.counts(batch)["supervision"] == objective.counts(batch)["nowhere"] == 4
    optimiser = torch.optim.Adam([p for p in objective.module.parameters() if p.requires_grad], lr=3e-3)
    values = []
    for _ in range(30):
        found = losses_of(objective)
        loss = found["supervision"] + 0.5 * found["nowhere"]
        values.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert values[-1] < 0.6 * values[0]
    with pytest.raises(NothingToLearnFrom):
        tiny_method("simcrop_plus", supervision=1.0)


def test_stored_samples_bring_the_places_of_their_sentences_and_their_reports(tmp_path):
    cells = np.array([5, 6], np.int32)
    truth = Truth("A mass.", "positive", "mass", "", "", cells, np.array([32, 32], np.uint8))
    image = np.zeros((224, 224, 112), np.int16)
    save_sample(tmp_path / "one.npz", Sample(image, image.astype(np.uint8), (), (truth,), "A mass. No effusion."))
    known = {text: np.zeros(4, np.float32) for text in ("A mass.", "No effusion.")}
    still = Augmentation((0, 0, 0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    source = SampleSource([tmp_path / "one.npz"], known, still, 0)
    assert source.pair(0).truths[0].cells.tolist() == cells.tolist()
    assert list(reports_in(source)) == [("A mass.", "No effusion.")]


@pytest.mark.parametrize("pool", ["mean", "attention"])
@pytest.mark.parametrize("text", ["sentences", "report"])
def test_scans_and_prompts_have_vectors_for_zero_shot(pool, text):
    objective = plus(instance_pool=pool, instance_text=text)
    batch = objective.batch(0)
    images = objective.image_vectors(objective.frames(batch))
    prompts = objective.text_vectors(batch.words_BT, batch.attended_BT)
    assert images.shape == prompts.shape == (4, 512)
    for vectors in (images, prompts):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert ("instance.query" in dict(objective.module.named_parameters())) == (pool == "attention")
    assert reached(objective.module, losses_of(objective)["instance"]) == {"vision", "instance"}
    with pytest.raises(UnusableRecipe):
        plus(instance=0.0).image_vectors(objective.frames(batch))


def test_what_was_learned_is_a_grounding_model():
    objective = plus()
    objective.module.float()
    batch = objective.batch(0)
    model = objective.grounding_model()
    with torch.no_grad():
        frames = objective.frames(batch)
        torch.testing.assert_close(model.encode(frames), objective.vision.patch_features(frames))
        words = batch.sentences_BSC[0]
        torch.testing.assert_close(model.project(words), objective.network.text_projection(words))


def test_it_compares_nothing_but_cosines():
    made = tiny_method("simcrop_plus")
    for changes in ({"normalise": False}, {"negatives": "batch"}, {"pooled_by": "softmax"}):
        with pytest.raises(UnusableRecipe):
            SimCroPPlus(dataclasses.replace(made.config, **changes), made.data, made.settings, 3)
