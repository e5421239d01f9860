"""Every recipe in the tree can be read, and says what it claims."""

from __future__ import annotations

import re

import pytest
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
