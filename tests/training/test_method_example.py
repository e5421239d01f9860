"""The method that docs/methods.md writes as an example is a method."""

from __future__ import annotations

import re
import types
from pathlib import Path

from simcrop_training import methods
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.objectives.pairs import PairSettings
from tiny_run import losses, tiny_method

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_worked_example_trains(tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code.splitlines()) < 100
    module = types.ModuleType("brightness")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    method = methods.Method("an example", PairSettings, module.Brightness)
    monkeypatch.setitem(methods.METHODS, "brightness", method)
    schedule = Schedule(steps=16, learning_rate=3e-3, warm_up=2, measure_every=10**6, precision="float32")
    Loop(tiny_method("brightness"), schedule, tmp_path, compute=Compute(log_every=1)).run()
    values = list(losses(tmp_path).values())
    assert sum(values[-4:]) < 0.8 * sum(values[:4])


def test_every_method_has_a_page_and_a_row():
    text = PAGE.read_text(encoding="utf-8")
    for name, method in methods.METHODS.items():
        if method.objective is not None or name == "grounding":
            assert f"`{name}`" in text, name
    for link in re.findall(r"\]\((methods/.*?)\)", text):
        assert (PAGE.parent / link).is_file(), link
