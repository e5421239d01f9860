"""Methods are compared by ordinary runs, measured from what these exported, and nothing is done twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from simcrop_training.data.sample import load_sample, sample_paths
from simcrop_training.evaluate.cli import main
from simcrop_training.evaluate.identity import AnotherRun
from simcrop_training.evaluate.labelled import load_labelled, present
from simcrop_training.evaluate.methods import Budget, Contender, RunFailed, compare, row_name, table, zero_shot_scores
from simcrop_training.evaluate.probe import auroc_by_label, probe_scores
from simcrop_training.evaluate.retrieval import recall
from simcrop_training.evaluate.table import by_label
from simcrop_training.evaluate.trained import load_trained
from simcrop_training.methods import METHODS
from simcrop_training.recipe import RECIPES, read_recipe

from simcrop_core.models.weights_file import load_weights, save_weights
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
    # Both of two scans are among the five nearest, whatever was learned.
    assert figures["ctclip"][0]["report_to_scan/style a"] == figures["ctclip"][0]["scan_to_report/style a"] == 1
    assert "report_to_scan/style a" not in figures["simcrop"][0]
    assert (output / "table.md").read_text().startswith("Synthetic data")


def test_what_is_done_is_not_done_again(compared):
    figures, rows, budget, output = compared
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}
    assert compare(rows, budget, output) == figures
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}


def test_runs_side_by_side_learn_the_same_and_share_the_sentences(compared, tmp_path):
    figures, rows, budget, _ = compared
    beside = compare(rows, dataclasses.replace(budget, at_once=2), tmp_path)
    cost = {"step_s", "memory_gb"}
    for name, (alone,) in figures.items():
        assert {key: value for key, value in beside[name][0].items() if key not in cost} == pytest.approx(
            {key: value for key, value in alone.items() if key not in cost}, nan_ok=True
        )
    assert len(list(tmp_path.rglob("sentences*.pt"))) == 1


@pytest.fixture
def own_output(compared, tmp_path):
    """A copy of the output that a test may change, and the row ctclip alone."""
    _, rows, budget, output = compared
    return shutil.copytree(output, tmp_path / "out"), rows[:1], budget


def test_figures_of_another_budget_are_not_shown(own_output, phantom_folder, tmp_path):
    output, rows, budget = own_output
    with pytest.raises(AnotherRun, match=r"schedule\.steps was 2, is now 3") as fault:
        compare(rows, dataclasses.replace(budget, steps=3), output)
    assert "another --output" in fault.value.hint
    changed = tmp_path / "recipe.yaml"
    changed.write_text(RECIPE.replace("sentences: 6", "sentences: 5"))
    with pytest.raises(AnotherRun, match=r"method\.sentences was 6, is now 5"):
        compare([dataclasses.replace(rows[0], recipe=changed)], budget, output)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    shutil.copy(sample_paths([phantom_folder])[0], fewer)
    with pytest.raises(AnotherRun, match=r"training: 2 samples .* now 1 samples"):
        compare(rows, dataclasses.replace(budget, training=fewer), output)


def test_a_run_that_does_not_say_what_it_is_is_refused(own_output):
    output, rows, budget = own_output
    (output / "ctclip" / "seed-1" / "run.json").unlink()
    with pytest.raises(AnotherRun, match="does not say"):
        compare(rows, budget, output)


def test_other_weights_and_other_scans_are_measured_again_without_training(own_output, phantom_folder):
    output, rows, budget = own_output
    folder = output / "ctclip" / "seed-1"
    kept = json.loads((folder / "figures.json").read_text())
    kept["figures"]["probe/style a"] = 7.0
    (folder / "figures.json").write_text(json.dumps(kept))
    assert compare(rows, budget, output)["ctclip"][0]["probe/style a"] == 7
    log = (folder / "log.jsonl").read_text()

    tensors, metadata = load_weights(folder / "encoder.safetensors")
    save_weights(folder / "encoder.safetensors", {name: 1.5 * tensor for name, tensor in tensors.items()}, metadata)
    assert compare(rows, budget, output)["ctclip"][0].get("probe/style a") != 7
    more = dataclasses.replace(budget, tests={**budget.tests, "style b": phantom_folder})
    compare(rows, more, output)
    assert "style b" in (output / "table.md").read_text()
    assert (folder / "log.jsonl").read_text() == log


def test_the_untrained_row_has_no_cost_and_claims_no_training(compared, tmp_path):
    _, rows, budget, _ = compared
    random = dataclasses.replace(rows[0], name="random", objective="random")
    (figures,) = compare([random], budget, tmp_path)["random"]
    assert not {"memory_gb", "step_s"} & figures.keys()
    _, metadata = load_weights(tmp_path / "random" / "seed-1" / "encoder.safetensors")
    assert metadata.provenance.trained_on == "Not trained: random numbers."
    both = table({"random": [figures], "simcrop": [{"memory_gb": 2.0}]})
    assert both.splitlines()[-2].endswith("| – |")


def test_a_table_says_which_methods_are_reconstructions():
    assert {name for name, method in METHODS.items() if method.reconstruction} == {"biud", "mg3d"}
    for name, shown in (("biud", "biud (reconstruction)"), ("mg3d", "mg3d (reconstruction)"), ("ctclip", "ctclip")):
        assert (
            row_name(Contender(name, RECIPES / "compare.yaml"), read_recipe(Path("compare"), objective=name)) == shown
        )


def test_a_run_that_fails_is_named_with_its_reason(compared, tmp_path):
    _, _, budget, _ = compared
    with pytest.raises(RunFailed, match="unusable-recipe"):
        compare([Contender("lost", tmp_path / "lost.yaml")], budget, tmp_path)


def test_the_command_ends_with_1_where_its_user_is_at_fault(phantom_folder, tmp_path, monkeypatch, capsys):
    folders = [str(phantom_folder), "--held-out", str(phantom_folder), "--style-b", str(phantom_folder)]
    asked = ["--output", str(tmp_path), "--methods", "ctclip", "--recipe", str(tmp_path / "lost.yaml")]
    monkeypatch.setattr("sys.argv", ["simcrop-eval", "methods", *folders, *asked])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "run-failed" in capsys.readouterr().err


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


def test_recall_counts_those_that_find_their_own_and_ties_against_them():
    near = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.5, 0.5, 0.5]])
    assert recall(near, 1) == pytest.approx(1 / 3)
    assert recall(near, 2) == pytest.approx(2 / 3)
    assert recall(near.T, 1) == 1
    chance = np.random.default_rng(0).normal(size=(400, 400))
    assert recall(chance, 40) == pytest.approx(0.1, abs=0.05)
    assert recall(np.zeros((9, 9)), 5) == 0
    with pytest.raises(ValueError, match="square"):
        recall(np.zeros((2, 3)))


def test_the_table_gives_mean_and_deviation_and_a_dash_for_what_cannot_be():
    text = table({"random": [{"probe/a": 0.5}, {"probe/a": 0.7}], "simcrop": [{"probe/a": 0.8, "hit/a": 0.25}]})
    assert "| random | 0.600 ± 0.141 | – |" in text
    assert "| simcrop | 0.800 | 0.250 |" in text


def test_a_mean_over_labels_says_over_how_many():
    alike = by_label("probe/a", {"Emphysema": 0.5, "Lung nodule": 0.7})
    text = table({"random": [alike], "simcrop": [alike]})
    assert "| random | 0.600 (2 of 18) |" in text
    assert "All rows of a column have the same labels." in text
    assert "common" not in text
    assert by_label("probe/a", {}) == {}


def test_rows_with_other_labels_are_compared_over_those_that_all_have():
    """Over its own labels the first is ahead, over the common ones the second."""
    areas = {"Emphysema": 0.5, "Lung nodule": 0.6, "Cardiomegaly": 1.0}
    measured = {
        "simcrop": [by_label("zero_shot/a", areas), by_label("zero_shot/a", {"Emphysema": 0.6, "Lung nodule": 0.7})],
        "fvlm": [by_label("zero_shot/a", {"Emphysema": 0.6, "Lung nodule": 0.7})],
        "mae3d": [{"step_s": 1.0}],
    }
    lines = table(measured).splitlines()
    assert "Rows of zero_shot/a have different labels" in lines[1]
    assert lines[3].startswith("| method | zero_shot/a | zero_shot/a, 2 common labels |")
    assert lines[5].startswith("| simcrop | 0.675 ± 0.035 (2–3 of 18) | 0.600 ± 0.071 |")
    assert lines[6].startswith("| fvlm | 0.650 (2 of 18) | 0.650 |")
    assert lines[7].startswith("| mae3d | – | – |")


def test_rows_without_a_common_label_are_not_compared():
    measured = {name: [by_label("probe/a", {label: 0.5})] for name, label in zip("xy", CT_RATE_LABELS, strict=False)}
    assert "| x | 0.500 (1 of 18) | – |" in table(measured)
