"""Thresholds and colours that follow from the scores of held-out samples, worked out beside them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hand_set_weights import PROVENANCE, find_bright
from simcrop_training.calibrate import calibrate
from simcrop_training.data.sample import Sample, Truth, save_sample

from simcrop_core.errors import SimCroPError
from simcrop_core.inference.engine import Engine
from simcrop_core.models.checksum import sentences_sha256
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.weights import REFERENCE_KEY, USUAL_KEYS, WeightsMetadata, load_weights, save_weights
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.encoder import load_text_encoder
from simcrop_core.text.reference import reference_sentences

TINY = PRESETS["tiny"]
ABSENT_HU = (-900, -700, -500, -300, -100)
PRESENT_HU = (-145, 100, 300, 500, 700, 900)


def uniform_sample(path, hu, *, present, polarity="positive"):
    """A frame of one intensity, with one sentence that is true of it, or one that is not."""
    cells = np.arange(3 if present else 0, dtype=np.int32)
    truth = Truth("A sentence.", polarity if present else "absent", "mass", "", "", cells, cells.astype(np.uint8) + 1)
    image = np.full(TINY.vision.image, hu, dtype=np.int16)
    save_sample(path, Sample(image, np.zeros(image.shape, dtype=np.uint8), (), (truth,)))
    return path


def cosine(hu):
    """What the hand-set network says of a frame of one intensity m: (m, −m, 1, −1) · (1, −1, 0, 0), normalised."""
    m = np.asarray(hu) / 1000
    return m / np.sqrt(1 + m**2)


# Where all patches are alike the best two stand out by this share of their cosine.
ALIKE = 1 - 0.6
# What the sentence that is asked scores on the mean of the samples.
USUAL = float(np.mean(cosine((*ABSENT_HU, *PRESENT_HU))))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    absent = [uniform_sample(folder / f"absent{hu}.npz", hu, present=False) for hu in ABSENT_HU]
    return absent + [uniform_sample(folder / f"present{hu}.npz", hu, present=True) for hu in PRESENT_HU]


def deaf_to_others(model):
    """The network looks for what is bright when asked "A sentence."; reference sentences score about 0 everywhere."""
    encoder = load_text_encoder(TINY.text)
    asked_C = encoder.encode(["A sentence."]).double()[0]
    others_RC = encoder.encode(reference_sentences()).double()
    spread_CC = others_RC.T @ others_RC / len(others_RC) + 1e-3 * torch.eye(len(asked_C), dtype=torch.float64)
    ear_C = torch.linalg.solve(spread_CC, asked_C)
    ear_C /= ear_C @ asked_C
    projection = model.text_projection
    heard, unheard = projection.bias.detach().clone(), torch.zeros(TINY.vision.dim)
    unheard[4] = 1.0  # No patch has anything there.
    with torch.no_grad():
        projection.weight.copy_(torch.outer((heard - unheard).double(), ear_C))
        projection.bias.copy_(unheard)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A grounding file as an export leaves it: no thresholds, but metrics."""
    path = tmp_path_factory.mktemp("trained") / "grounding.safetensors"
    provenance = dataclasses.replace(PROVENANCE, steps=7, metrics={"hit": 0.25})
    model = deaf_to_others(find_bright(GroundingModel(TINY)))
    save_weights(path, model.flat_state_dict(), WeightsMetadata("calibrated", TINY, provenance))
    return path


@pytest.fixture(scope="module")
def calibrated(trained, held_out, tmp_path_factory):
    """The rates, and the file written anew."""
    output = tmp_path_factory.mktemp("calibrated") / "grounding.safetensors"
    return calibrate(trained, held_out, output), output


def test_thresholds_leave_few_absent_sentences_above_them(calibrated):
    """Two in a hundred absent ones are located, five weak or more: quantiles of the excess worked by hand."""
    metadata = load_weights(calibrated[1])[1]
    assert metadata.measure == "prominence"
    located, weak = (ALIKE * (np.quantile(cosine(ABSENT_HU), q) - USUAL) for q in (0.98, 0.95))
    assert metadata.thresholds.located == pytest.approx(located, abs=1e-3)
    assert metadata.thresholds.weak == pytest.approx(weak, abs=1e-3)
    assert metadata.thresholds.weak < metadata.thresholds.located


def test_an_organ_is_located_where_it_scores_as_nineteen_of_twenty_do(trained, held_out, tmp_path):
    organs = [uniform_sample(tmp_path / f"organ{hu}.npz", hu, present=True, polarity="anatomy") for hu in PRESENT_HU]
    calibrate(trained, [*held_out, *organs], tmp_path / "grounding.safetensors")
    metadata = load_weights(tmp_path / "grounding.safetensors")[1]
    assert metadata.organ_thresholds.located == pytest.approx(np.quantile(cosine(PRESENT_HU), 0.05), abs=2e-3)
    assert metadata.organ_thresholds.weak == metadata.colour_scale.low


def test_without_organs_they_have_no_thresholds_of_their_own(calibrated):
    assert load_weights(calibrated[1])[1].organ_thresholds is None


def test_colours_span_the_peaks_of_what_is_there(calibrated):
    scale = load_weights(calibrated[1])[1].colour_scale
    assert scale.low < scale.high
    assert scale.high < cosine(max(PRESENT_HU)) + 1e-3
    assert scale.low > np.quantile(cosine(ABSENT_HU), 0.93)


def test_rates_are_counted_and_kept_beside_earlier_metrics(calibrated):
    """Thresholds near −116 and −140 HU; colours begin near 139 HU: of six true sentences those of −145 and 100 HU are
    nowhere, and so is every absent one, the highest of which passes a threshold and would not be drawn."""
    rates, output = calibrated
    assert rates["present_located"] == pytest.approx(4 / 6)
    assert rates["present_weak_or_located"] == pytest.approx(4 / 6)
    assert rates["absent_not_located"] == 1
    provenance = load_weights(output)[1].provenance
    assert provenance.metrics == {"hit": 0.25, **{name: round(rate, 4) for name, rate in rates.items()}}
    assert provenance.steps == 7


def test_labels_get_thresholds_from_the_samples_without_them(trained, held_out, tmp_path):
    """Every sample here that has a finding has a mass, "Lung opacity"; too few samples give no thresholds at all."""
    more = [uniform_sample(tmp_path / f"more{i}.npz", -900 + 10 * i, present=False) for i in range(16)]
    calibrate(trained, [*held_out, *more], tmp_path / "enough.safetensors")
    thresholds = load_weights(tmp_path / "enough.safetensors")[1].finding_thresholds
    assert set(thresholds) == set(CT_RATE_LABELS)
    assert all(t.weak <= t.located for t in thresholds.values())
    calibrate(trained, held_out, tmp_path / "few.safetensors")
    assert load_weights(tmp_path / "few.safetensors")[1].finding_thresholds == {}


def test_reference_sentences_travel_with_the_weights(calibrated):
    tensors, metadata = load_weights(calibrated[1])
    assert tensors[REFERENCE_KEY].shape == (500, TINY.vision.dim)
    assert metadata.reference_sha256 == sentences_sha256(reference_sentences())


def test_the_usual_score_of_a_sentence_is_its_mean_over_the_samples(calibrated):
    tensors, _ = load_weights(calibrated[1])
    *others, asked = tensors[USUAL_KEYS[1]].tolist()
    assert asked == pytest.approx(ALIKE * USUAL, abs=2e-3)
    assert np.abs(np.median(others)) < 0.01
    engine = Engine(str(calibrated[1]), "cpu")
    assert engine.usual_scores is not None
    assert engine.usual_scores.of(engine.embed(["A sentence."])).numpy() == pytest.approx(ALIKE * USUAL, abs=2e-3)


def test_the_network_is_the_one_that_was_trained(trained, calibrated):
    before, after = load_weights(trained)[0], load_weights(calibrated[1])[0]
    assert set(after) == {*before, REFERENCE_KEY, *USUAL_KEYS}
    for key, tensor in before.items():
        torch.testing.assert_close(after[key].float(), tensor, atol=1e-3, rtol=1e-3)


def test_an_engine_runs_on_the_file(calibrated):
    """And takes the stored embeddings, which are those it would compute."""
    engine = Engine(str(calibrated[1]), "cpu")
    metadata = load_weights(calibrated[1])[1]
    assert engine.thresholds == metadata.thresholds
    assert engine.colour_scale == metadata.colour_scale
    some = reference_sentences()[::100]
    torch.testing.assert_close(engine.reference_embeddings[::100], engine.embed(some), atol=2e-3, rtol=2e-3)


def test_weights_that_read_short_forms_are_calibrated_as_they_will_read(trained, held_out, tmp_path):
    """What the file keeps of the reference sentences is what an engine on it makes of them."""
    tensors, metadata = load_weights(trained)
    config = dataclasses.replace(TINY, text=dataclasses.replace(TINY.text, short_forms=True))
    save_weights(tmp_path / "both.safetensors", tensors, dataclasses.replace(metadata, config=config))
    calibrate(tmp_path / "both.safetensors", held_out, tmp_path / "calibrated.safetensors")
    engine = Engine(str(tmp_path / "calibrated.safetensors"), "cpu")
    assert engine.config.text.short_forms
    some = reference_sentences()[::50]
    torch.testing.assert_close(engine.reference_embeddings[::50], engine.embed(some), atol=2e-3, rtol=2e-3)
    assert torch.allclose(engine.reference_embeddings.norm(dim=1), torch.ones(500), atol=2e-3)


def test_segmentation_weights_are_refused(bright_finder, held_out, tmp_path):
    with pytest.raises(SimCroPError):
        calibrate(bright_finder / "segmentation.safetensors", held_out, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
