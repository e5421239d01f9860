"""The demo on the drawn chest, with hand-set weights: every part runs, every figure is in its place."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hand_set_weights import ROOT

from simcrop_core.demo import run
from simcrop_core.inference.engine import Engine
from simcrop_core.progress import Job
from simcrop_core.results import as_json


@pytest.fixture
def hand_set(bright_finder, monkeypatch):
    monkeypatch.setattr(run, "Engine", lambda device: Engine(str(bright_finder), device))


def test_the_demo_measures_every_sentence_and_label(hand_set, tmp_path):
    result = run.run_demo(tmp_path, synthetic=True, device="cpu", job=Job())
    assert result.synthetic
    assert len(result.peaks) == len(result.grounding.sentences)
    assert {"left lung", "right lung", "heart", "liver"} <= set(result.dice)
    assert result.dice["left lung"]["threshold"] > 0.9
    assert result.dice["right lung"]["threshold"] > 0.9
    assert all(peak.lung_centre_mm is not None for peak in result.peaks if peak.target is not None)
    assert (tmp_path / "report.html").exists()
    schema = json.loads((ROOT / "docs" / "schema" / "demo.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json.dumps(as_json(result))), schema)


def test_without_a_package_index_the_demo_says_so_and_goes_on(hand_set, tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    result = run.run_demo(tmp_path / "out", synthetic=False, device="cpu", job=Job())
    assert result.synthetic
    assert any("synthetic chest is used" in warning for warning in result.grounding.warnings)
