"""Every recipe in the tree can be read, and says what it claims."""

from __future__ import annotations

import re

import pytest
from simcrop_training.cli import main
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.engine.schedule import Schedule, parameter_groups
from simcrop_training.objectives.simcrop_cost import sample_flops
from simcrop_training.recipe import RECIPES, read_recipe
from tiny_run import tiny_objective

from simcrop_core.models.presets import PRETRAINING_PRESETS

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


def recipe(name):
    return read_recipe(RECIPES / f"{name}.yaml")


def head(name):
    lines = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_can_be_read_and_gives_its_command(name):
    assert recipe(name).name
    assert f"run {name} " in head(name) or f"recipes/{name}.yaml" in head(name)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith(("paper", "table3", "fig3"))])
def test_the_hours_of_a_recipe_follow_from_its_counted_operations(name):
    counted = sample_flops(recipe(name).pretraining(), 300)
    stated = re.search(r"([\d.]+) TFLOP a pair .*?: ([\d.]+) h on 1 H200, ([\d.]+) h on 8", head(name))
    assert stated
    hours = counted * 48 * 982 * 140 / (0.35 * 989e12) / 3600
    assert float(stated[1]) == pytest.approx(counted / 1e12, abs=0.01)
    assert float(stated[2]) == pytest.approx(hours, abs=0.06)
    assert float(stated[3]) == pytest.approx(hours / 8, abs=0.06)
    assert "Source: the paper" in head(name)


def test_the_papers_recipe_is_the_papers():
    paper = recipe("paper")
    assert paper.pretraining() == PRETRAINING_PRESETS["base"]
    assert (paper.method.batch, paper.schedule.learning_rate, paper.schedule.weight_decay) == (48, 1.5e-4, 0.05)
    schedule = paper.schedule.in_steps(47_149 // 48)
    assert (schedule.steps, schedule.warm_up) == (137_480, 39_280)
    assert schedule.rate(39_279) == 1.5e-4
    assert schedule.rate(137_480) == 0
    assert schedule.rate((39_280 + 137_480) // 2) == pytest.approx(0.75e-4)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("il", "i"), ("wl", "w"), ("il_wl", "iw"), ("sa_il", "ai"), ("sa_wl", "aw"), ("all", "aiw")],
)
def test_the_rows_of_the_ablation_differ_in_what_they_use(name, parts):
    config = recipe(f"table3_{name}").pretraining()
    assert (config.use_align, config.use_instance, config.use_word) == tuple(p in parts for p in "aiw")


def test_the_literal_recipe_prints_what_the_paper_prints():
    config = recipe("paper_literal").pretraining()
    assert (config.normalise, config.mim_on, config.fusion) == (False, "all", "literal")
    assert recipe("paper_literal").schedule == recipe("paper").schedule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nobjective: simcrop\nsteps: 3", "no field steps"),
        (
            "name: a\nobjective: simcrop\nschedule: {learning_rate: 1e-4}",
            "learning_rate cannot be '1e-4'",
        ),  # YAML takes it for a word
        ("name: a\nobjective: simclr", "one of random, random_zero_pos"),
        ("name: a\nobjective: simcrop\nmodel: {use_aline: true}", "no field use_aline"),
        ("name: a\nobjective: simcrop\nmethod: {batch: 5, micro_batch: 2}", "batch of 5"),
        ("name: [a", "while parsing"),
        ("extends: nothing", "no such file"),
    ],
)
def test_a_wrong_recipe_is_refused_in_words(text, words, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UnusableRecipe, match=words):
        read_recipe(path)


GOOD = "name: a\nobjective: simcrop\n"


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("", "the file holds nothing", "at least `name:` and `objective:`"),
        ("- name\n- objective", "not fields", "at least `name:`"),
        ("simcrop", "the file holds 'simcrop'", "at least `name:`"),
        ("1: 2", "no field 1", "words"),
        ("name: a\n\tobjective: simcrop", "cannot start any token", "Write YAML"),
        ("objective: [simcrop]", r"not \['simcrop'\]", "behind objective:"),
        (GOOD + "preset: huge", "preset is one of base, small, mini, tiny for simcrop, not 'huge'", "behind preset:"),
        ("objective: segmentation\npreset: mini", "base, small, tiny for segmentation", "behind preset:"),
        (GOOD + "preset: [base]", "preset cannot be", "It is a word"),
        (GOOD + "schedule: null", "schedule holds nothing", "leave it out"),
        (GOOD + "schedule: [600]", r"schedule holds \[600\]", "`field: value`"),
        (GOOD + "model: [1]", "model cannot be", "mapping"),
        (GOOD + "model: {vision: 3}", "model.vision holds 3", "`field: value`"),
        (GOOD + "model: {vision: {patch: [0, 16, 8]}}", "model.vision.patch cannot be 0", "from 1 on"),
        (GOOD + "method: null", "method holds nothing", "leave it out"),
        (GOOD + "method: {micro_batch: 0}", "method.micro_batch cannot be 0", "whole number from 1 on"),
        (GOOD + "method: {batch: -4}", "method.batch cannot be -4", "from 1 on"),
        (GOOD + "schedule: {steps: -1}", "schedule.steps cannot be -1", "from 0 on"),
        (GOOD + "schedule: {measure_every: 0}", "schedule.measure_every cannot be 0", "from 1 on"),
        (GOOD + "schedule: {learning_rate: -0.1}", "schedule.learning_rate cannot be -0.1", "from 0 on"),
        (GOOD + "schedule: {clip: .nan}", "schedule.clip cannot be nan", "from 0 on"),
        (GOOD + "schedule: {betas: [0.9]}", r"schedule.betas cannot be \[0.9\]", "list of 2"),
        (GOOD + "crop: {jitter: [few, 16, 8]}", "crop.jitter cannot be 'few'", "whole number"),
        (GOOD + "compute: {workers: 0}", "compute.workers cannot be 0", "from 1 on"),
        (GOOD + "seed: -1", "seed cannot be -1", "from 0 on"),
        ("extends: wrong", "wrong extends wrong", "does not lead back"),
        ("extends: other", "wrong extends other extends wrong", "does not lead back"),
        ("extends: [paper]", r"extends cannot be \['paper'\]", "one recipe's name"),
    ],
)
def test_a_malformed_recipe_is_refused_with_what_to_write(text, words, hint, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    (tmp_path / "other.yaml").write_text("extends: wrong")
    with pytest.raises(UnusableRecipe, match=words) as fault:
        read_recipe(path)
    assert hint in fault.value.hint


def test_a_malformed_method_is_refused_with_another_objective_too(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(GOOD + "method: [4]")
    with pytest.raises(UnusableRecipe, match="method holds"):
        read_recipe(path, objective="ctclip")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (GOOD + "preset: huge", [], "preset is one of"),
        (GOOD, ["--steps", "-3"], "schedule.steps cannot be -3"),
        (GOOD, ["--seed", "-3"], "seed cannot be -3"),
        (GOOD, ["--workers", "0"], "compute.workers cannot be 0"),
    ],
)
def test_the_command_ends_as_for_any_fault_of_its_user(text, options, words, tmp_path, monkeypatch, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    monkeypatch.setattr("sys.argv", ["simcrop-train", "run", str(path), "--output", str(tmp_path / "out"), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert words in said
    assert "unusable-recipe" in said


@pytest.mark.parametrize("name", ["schedule.warm_up", "schedule.view_every", "schedule.patience", "validation"])
def test_what_may_be_none_may_be_0(name, tmp_path):
    path, (*group, field) = tmp_path / "right.yaml", name.split(".")
    path.write_text(GOOD + (f"{group[0]}: {{{field}: 0}}" if group else f"{field}: 0"))
    read = read_recipe(path)
    assert getattr(getattr(read, group[0]) if group else read, field) == 0


def test_any_method_goes_with_any_recipe():
    paper, other = recipe("paper"), read_recipe(RECIPES / "paper.yaml", objective="ctclip")
    assert (other.objective, other.name) == ("ctclip", "simcrop-paper-ctclip")
    assert (other.method.batch, other.method.report_tokens, other.method.dim) == (48, 512, 512)
    assert (other.schedule, other.pretraining()) == (paper.schedule, paper.pretraining())
    with pytest.raises(UnusableRecipe, match="not 'simclr'"):
        read_recipe(RECIPES / "paper.yaml", objective="simclr")


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(UnusableRecipe) as fault:
        read_recipe(RECIPES.joinpath("papre").relative_to(RECIPES))
    assert "paper_literal" in fault.value.hint


def test_biases_norms_and_tokens_do_not_decay():
    module = tiny_objective().module
    names = {id(p): name for name, p in module.named_parameters()}
    decayed, vectors = parameter_groups(module, 0.05)
    assert {names[id(p)].rsplit(".", 1)[-1] for p in decayed["params"]} <= {"weight", "in_proj_weight"}
    free = {names[id(p)] for p in vectors["params"]}
    assert {"vision.cls_token", "image_decoder.mask_token", "vision.norm.weight"} <= free
    assert not any(name.startswith("bert_encoder") for name in names.values() if name in free)


def test_the_rate_rises_and_falls():
    schedule = Schedule(steps=10, warm_up=4, learning_rate=1.0)
    assert [schedule.rate(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert schedule.rate(7) == pytest.approx(0.5)
    assert schedule.rate(10) == 0
