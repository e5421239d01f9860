"""Methods are compared by ordinary runs, measured from what these exported, and nothing is done twice."""

from __future__ import annotations

import numpy as np
import pytest
from simcrop_training.data.sample import load_sample, sample_paths
from simcrop_training.evaluate.labelled import load_labelled, present
from simcrop_training.evaluate.methods import Budget, Contender, RunFailed, compare, table, zero_shot_scores
from simcrop_training.evaluate.probe import auroc_by_label, probe_scores
from simcrop_training.evaluate.trained import load_trained

from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.text.ct_rate import CT_RATE_LABELS

RECIPE = """
name: compared
objective: simcrop
preset: tiny
schedule: {steps: 2, learning_rate: 0.001, warm_up: 1, measure_every: 1000}
method: {batch: 2, micro_batch: 2, report_tokens: 32, sentences: 6}
in_memory: true
"""


@pytest.fixture(scope="module")
def compared(phantom_folder, tmp_path_factory):
    """Two methods after two steps: figures, budget, output."""
    folder = tmp_path_factory.mktemp("compared")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    rows = [Contender(name, recipe, name) for name in ("ctclip", "simcrop")]
    budget = Budget(phantom_folder, {"style a": phantom_folder}, seeds=(1,), threads=1)
    return compare(rows, budget, folder / "out"), rows, budget, folder / "out"


def test_every_method_has_the_figures_it_can_have(compared):
    figures, _, _, output = compared
    assert set(figures["ctclip"][0]) >= {"probe/style a", "zero_shot/style a", "memory_gb"}
    assert set(figures["simcrop"][0]) >= {"probe/style a", "zero_shot/style a", "hit/style a", "auc_absent/style a"}
    assert "hit/style a" not in figures["ctclip"][0]
    assert (output / "table.md").read_text().startswith("Synthetic data")


def test_what_is_done_is_not_done_again(compared):
    figures, rows, budget, output = compared
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}
    assert compare(rows, budget, output) == figures
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}


def test_a_run_that_fails_is_named_with_its_reason(compared, tmp_path):
    _, _, budget, _ = compared
    with pytest.raises(RunFailed, match="unusable-recipe"):
        compare([Contender("lost", tmp_path / "lost.yaml")], budget, tmp_path)


def test_exported_weights_give_the_scores_of_the_network_that_was_trained(compared, phantom_folder):
    *_, output = compared
    trained = load_trained(output / "ctclip" / "seed-1")
    test = load_labelled(sample_paths([phantom_folder]), trained.vision.config.image)
    scores = zero_shot_scores(trained, test)
    assert scores.shape == (len(test.present_BL), len(CT_RATE_LABELS))
    assert np.abs(scores).max() <= 2


def test_labels_of_a_sample_are_those_that_were_drawn(phantom_folder):
    found = present(load_sample(sample_paths([phantom_folder])[0]))
    assert {label for label, there in zip(CT_RATE_LABELS, found, strict=True) if there} == draw_phantom(4).present


def test_a_probe_finds_what_is_linear_and_nothing_in_noise():
    rng = np.random.default_rng(0)
    features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    labels = np.stack([features[:, 0] > 0, features[:, 1] + features[:, 2] > 1, np.ones(200, bool)], 1)
    found = auroc_by_label(probe_scores(features[:100], labels[:100], features[100:]), labels[100:])
    chance = auroc_by_label(probe_scores(noise[:100], labels[:100], noise[100:]), labels[100:])
    assert found[:2].min() > 0.95
    assert np.isnan(found[2])
    assert np.abs(chance[:2] - 0.5).max() < 0.2


def test_the_area_under_the_curve_is_the_chance_of_ranking_a_pair_rightly():
    scores, present_BL = np.array([[0.1], [0.4], [0.4], [0.9]]), np.array([[False], [True], [False], [True]])
    # Of four pairs three are right and one is a tie.
    assert auroc_by_label(scores, present_BL)[0] == 3.5 / 4


def test_the_table_gives_mean_and_deviation_and_a_dash_for_what_cannot_be():
    text = table({"random": [{"probe/a": 0.5}, {"probe/a": 0.7}], "simcrop": [{"probe/a": 0.8, "hit/a": 0.25}]})
    assert "| random | 0.600 ± 0.141 | – |" in text
    assert "| simcrop | 0.800 | 0.250 |" in text
