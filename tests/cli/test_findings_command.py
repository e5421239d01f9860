"""`simcrop findings` as a user runs it, on the packaged weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from jsonschema import Draft202012Validator

from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.weights import Thresholds, load_weights, save_weights
from simcrop_core.text.ct_rate import CT_RATE_LABELS

ROOT = Path(__file__).parents[2]


def simcrop(*arguments, cwd=None):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'training'}", "COLUMNS": "200"}
    command = [sys.executable, "-c", "from simcrop_core.cli import main; main()", "findings", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """The drawn chest as a NIfTI file, stored LPS."""
    shape = (64, 48, 56)
    volume = volume_of(chest_hu, affine_of(signs=(-1, -1, 1), spacing=(6, 6, 6), shape=shape), shape)
    path = tmp_path_factory.mktemp("scan") / "drawn chest.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The packaged weights with thresholds that no sentence reaches, because drawing figures takes seconds."""
    folder = tmp_path_factory.mktemp("starter")
    tensors, metadata = load_weights(resolve_weights("starter").grounding)
    save_weights(folder / "grounding.safetensors", tensors, replace(metadata, thresholds=Thresholds(0.99, 0.98)))
    return folder


def test_it_writes_everything_and_prints_json_of_its_schema(scan, weights, tmp_path):
    ran = simcrop(scan, "--weights", weights, "--output", tmp_path, "--device", "cpu", "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    schema = json.loads((ROOT / "docs" / "schema" / "findings.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(result)
    assert result["weights"]["name"] == "starter"
    assert [finding["label"] for finding in result["findings"]] == list(CT_RATE_LABELS)
    assert json.loads((tmp_path / "findings.json").read_text(encoding="utf-8")) == result
    for finding in result["findings"]:
        heatmap = nibabel.load(tmp_path / finding["heatmap"])
        peak = np.unravel_index(np.argmax(heatmap.get_fdata()), heatmap.shape)
        np.testing.assert_allclose(
            nibabel.affines.apply_affine(heatmap.affine, peak), finding["peak_ras_mm"], atol=12.01
        )
    assert "18 findings" in (tmp_path / "findings.html").read_text(encoding="utf-8")


def test_the_table_is_in_ct_rates_order_and_says_what_it_is_not(scan, weights, tmp_path):
    ran = simcrop(scan, "--weights", weights, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    places = [ran.stdout.index(f" {label} ") for label in CT_RATE_LABELS]
    assert places == sorted(places)
    assert "Uncalibrated scores; not a diagnosis." in ran.stdout
    (folder,) = (tmp_path / "simcrop-results").iterdir()
    assert (folder / "findings.html").exists()


def test_a_fault_is_one_message_a_hint_and_exit_code_1(tmp_path):
    ran = simcrop(tmp_path / "nothing.nii.gz")
    assert ran.returncode == 1
    assert "unreadable-file" in ran.stderr
    assert "Traceback" not in ran.stderr
