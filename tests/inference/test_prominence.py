"""What stands out from the patches that words alone pick, and evidence by it, by score, and by being seen at all."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from chests import affine_of, chest_hu, volume_of

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.prominence import prominence
from simcrop_core.inference.session import Session
from simcrop_core.models.weights import Thresholds, load_weights, save_weights
from simcrop_core.models.weights_metadata import WeightsMetadata
from simcrop_core.text.report import parse_report


@pytest.mark.parametrize("patches", [2744, 250, 64, 3])
def test_prominence_against_numpy(patches):
    """Also where few patches hold scan; padding never counts."""
    rng = np.random.default_rng(patches)
    maps = rng.uniform(-0.9, 0.9, (5, patches))
    padded = np.concatenate([maps, np.full((5, 30), -1.0)], axis=1)
    highest = -np.sort(-maps, axis=1)
    others = highest[:, min(100, patches - 1) : min(400, patches)].mean(1)
    expected = highest[:, :2].mean(1) - 0.6 * others
    assert prominence(torch.tensor(padded), patches).numpy() == pytest.approx(expected, abs=1e-9)


@pytest.fixture(scope="module")
def chest():
    shape = (64, 48, 56)
    return volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=shape), shape)


@pytest.fixture
def asked(engine, chest, tmp_path):
    """What the bright finder says of a finding and an organ with other metadata."""

    def ask(**changed):
        tensors, metadata = load_weights(engine.folder.grounding)
        save_weights(tmp_path / "grounding.safetensors", tensors, dataclasses.replace(metadata, **changed))
        session = Session(chest, [], Engine(str(tmp_path), "cpu"))
        return session.ground(parse_report("A mass in the left lung. The spleen.")).result.sentences

    return ask


def test_organs_go_by_their_score_where_the_weights_have_thresholds_for_it(asked):
    everything, nothing = Thresholds(-9.0, -9.0), Thresholds(9.0, 9.0)
    mass, spleen = asked(measure="prominence", thresholds=nothing, organ_thresholds=everything)
    assert (mass.evidence, spleen.evidence) == ("not located", "located")
    assert spleen.excess == spleen.score
    assert mass.excess != mass.score
    mass, spleen = asked(measure="prominence", thresholds=everything, organ_thresholds=None)
    assert (mass.evidence, spleen.evidence) == ("located", "located")


def test_what_would_not_be_drawn_is_not_located(asked):
    everything = Thresholds(-9.0, -9.0)
    faint = asked(thresholds=everything, colour_scale=ColourScale(0.995, 0.999))
    seen = asked(thresholds=everything, colour_scale=ColourScale(-0.9, 0.9))
    assert {sentence.evidence for sentence in faint} == {"not located"}
    assert {sentence.evidence for sentence in seen} == {"located"}


def test_a_measure_of_a_later_version_is_named(engine):
    metadata = load_weights(engine.folder.grounding)[1]
    with pytest.raises(IncompatibleWeights, match="loudness"):
        WeightsMetadata.from_json(metadata.to_json().replace('"measure": "score"', '"measure": "loudness"'))
