"""The method that docs/methods.md writes as an example is a method."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from simcrop_training import methods, objectives
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.recipe import RECIPES, read_recipe
from tiny_run import losses, tiny_method

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The page followed word by word: its file among the objectives, its import and its line in `METHODS`."""
    code, imported, line = BLOCKS[:3]
    (tmp_path / "brightness.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])
    names = dict(vars(methods))
    exec(imported, names)
    entry = ast.parse(f"{{{line.strip()}}}", mode="eval")
    for name, method in eval(compile(entry, str(PAGE), "eval"), names).items():
        monkeypatch.setitem(methods.METHODS, name, method)
    yield
    del objectives.brightness, sys.modules["simcrop_training.objectives.brightness"]


def test_the_worked_example_trains(registered, tmp_path):
    assert sum(len(block.splitlines()) for block in BLOCKS[:3]) < 100
    assert read_recipe(RECIPES / "small_phantom.yaml", objective="brightness").objective == "brightness"
    schedule = Schedule(steps=16, learning_rate=3e-3, warm_up=2, measure_every=10**6, precision="float32")
    Loop(tiny_method("brightness"), schedule, tmp_path / "run", compute=Compute(log_every=1)).run()
    values = list(losses(tmp_path / "run").values())
    assert sum(values[-4:]) < 0.8 * sum(values[:4])
    state = tiny_method("brightness").flat_state_dict()
    assert {"cls_token", "patch_embed.proj.weight", "densities.weight"} <= state.keys()


def test_every_method_has_a_page_and_a_row():
    text = PAGE.read_text(encoding="utf-8")
    for name, method in methods.METHODS.items():
        if method.objective is not None or name == "grounding":
            assert f"`{name}`" in text, name
    for link in re.findall(r"\]\((methods/.*?)\)", text):
        assert (PAGE.parent / link).is_file(), link
