"""A run learns, can be killed at any step, and goes on exactly where it stopped."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from simcrop_training.build import objective_of
from simcrop_training.engine.checkpoint import find_latest, progress_of
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.objective import in_pieces
from simcrop_training.engine.schedule import Schedule
from simcrop_training.export import export_run
from simcrop_training.objectives.grounding import GroundingSettings
from simcrop_training.objectives.pairs import PairSettings
from simcrop_training.objectives.segmentation import SegmentationSettings
from simcrop_training.recipe import Data, Recipe

from simcrop_core.models.weights_file import load_weights

STEPS = 16


@pytest.fixture(scope="module")
def data(phantom_folder):
    return Data((phantom_folder,), (), (phantom_folder,))


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return tmp_path_factory.mktemp("sentences") / "sentences.pt"


SETTINGS = {
    "grounding": GroundingSettings(batch=2, keep=0.8),
    "segmentation": SegmentationSettings(frames=1, windows=1, measure_on=1),
    "simcrop": PairSettings(batch=2, report_tokens=64),
}


def recipe(objective):
    schedule = Schedule(steps=STEPS, learning_rate=1e-2, warm_up=2, measure_every=STEPS, precision="float32")
    return Recipe("tiny", objective, preset="tiny", schedule=schedule, method=SETTINGS[objective])


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def loss_of(objective):
    """On the first batch, whatever the network has learned since: steps differ more by what they show."""
    pieces = in_pieces(objective)
    pieces.module.eval()
    batch = pieces.batch(0)
    counts = pieces.counts(batch)
    with torch.no_grad():
        totals = pieces.totals(batch)
    return sum(weight * float(totals[name]) / max(counts[name], 1) for name, weight in pieces.weights.items())


@pytest.mark.parametrize("objective", ["grounding", "segmentation", "simcrop"])
def test_a_killed_run_resumes_to_the_same_losses_as_one_that_was_left_alone(objective, data, sentences, tmp_path):
    tiny = recipe(objective)
    learned = objective_of(tiny, data, sentences=sentences)
    whole = Loop(learned, tiny.schedule, tmp_path / "whole")
    outcome = whole.run()
    Loop(objective_of(tiny, data, sentences=sentences), tiny.schedule, tmp_path / "parts").run(stop_at=6)
    again = Loop(objective_of(tiny, data, sentences=sentences), tiny.schedule, tmp_path / "parts")
    assert again.step == 6
    again.run()

    left_alone, resumed = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    assert len(left_alone) == len(resumed) == STEPS
    assert resumed == pytest.approx(left_alone, abs=2e-4)
    assert loss_of(learned) < 0.95 * loss_of(objective_of(tiny, data, sentences=sentences))
    assert outcome.finished

    (path,) = export_run(learned, tiny, data, outcome, tmp_path)
    tensors, metadata = load_weights(path)
    assert metadata.kind == ("segmentation" if objective == "segmentation" else "grounding")
    assert metadata.provenance.steps == STEPS
    assert not any(key.endswith("pos_embed") for key in tensors)


def test_a_torn_checkpoint_is_passed_over(data, sentences, tmp_path):
    tiny = recipe("grounding")
    for stop in (2, 4):
        Loop(objective_of(tiny, data, sentences=sentences), tiny.schedule, tmp_path).run(stop_at=stop)
    newest = max((tmp_path / "checkpoints").glob("step-*"))
    shard = max(newest.glob("*.distcp"))
    shard.write_bytes(shard.read_bytes()[:1000])
    latest = find_latest(tmp_path / "checkpoints")
    assert latest is not None
    assert progress_of(latest).step == 2


def test_a_time_limit_ends_a_run_with_a_checkpoint(data, sentences, tmp_path):
    tiny = recipe("grounding")
    outcome = Loop(objective_of(tiny, data, sentences=sentences), tiny.schedule, tmp_path).run(stop_after_s=0.01)
    assert outcome.step == 1
    assert not outcome.finished
    assert find_latest(tmp_path / "checkpoints") is not None


def test_another_seed_sees_other_data(data, sentences):
    one, two = (
        objective_of(dataclasses.replace(recipe("grounding"), seed=seed), data, sentences=sentences) for seed in (1, 2)
    )
    assert not one.batch(0).images_B1HWD.equal(two.batch(0).images_B1HWD)
    assert one.batch(3).images_B1HWD.equal(one.batch(3).images_B1HWD)
