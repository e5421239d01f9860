"""The same scan, weights and options make the same bytes, in every file; and every file says what it was made from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import pytest
import SimpleITK
from chests import affine_of, chest_hu, volume_of
from PIL import Image

from simcrop_core import __version__
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.models.checksum import read_sha256
from simcrop_core.models.weights import Thresholds, load_weights, save_weights
from simcrop_core.serve.wire import content_id

ROOT = Path(__file__).parents[2]
# One process does all three commands, as loading torch is what takes the time.
PASS = """
import sys, json
from simcrop_core.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["simcrop", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """The drawn chest in a file that is named as careless people name files."""
    shape = (64, 48, 56)
    volume = volume_of(chest_hu, affine_of(signs=(-1, -1, 1), spacing=(6, 6, 6), shape=shape), shape)
    path = tmp_path_factory.mktemp("scan") / "Beeblebrox.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), path)
    return path


@pytest.fixture(scope="module")
def quiet(bright_finder, tmp_path_factory):
    """The same weights with thresholds that no sentence reaches, because drawing figures takes seconds."""
    folder = tmp_path_factory.mktemp("quiet")
    tensors, metadata = load_weights(bright_finder / "grounding.safetensors")
    save_weights(folder / "grounding.safetensors", tensors, replace(metadata, thresholds=Thresholds(0.999, 0.998)))
    return folder


@pytest.fixture(scope="module")
def passes(scan, bright_finder, quiet, tmp_path_factory):
    """The folders of two processes that differ in everything that must not matter: the hash seed, the time zone."""
    folders = []
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        folder = tmp_path_factory.mktemp("pass")
        common = [str(scan), "--weights", str(bright_finder), "--device", "cpu"]
        says = ["--sentence", "Mass in the right lung.", "--sentence", "No effusion."]
        commands = [
            ["ground", *common, *says, "--output", "ground"],
            ["segment", *common, "--output", "lungs.nii.gz", "--json"],
            ["segment", *common, "--output", "lungs.seg.nrrd"],
            ["findings", str(scan), "--weights", str(quiet), "--device", "cpu", "--output", "findings"],
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "TZ": zone}
        command = [sys.executable, "-c", PASS, json.dumps(commands)]
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=folder, check=False)
        assert ran.returncode == 0, ran.stderr
        (folder / "stdout").write_text(ran.stdout, encoding="utf-8")
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def facts(scan, bright_finder, quiet):
    """What every file must name."""
    volume, _ = check(read_volume(scan))
    return content_id(volume.voxels, volume.affine), {
        "ground": read_sha256(bright_finder / "grounding.safetensors"),
        "segment": read_sha256(bright_finder / "segmentation.safetensors"),
        "findings": read_sha256(quiet / "grounding.safetensors"),
    }


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_runs_give_the_same_bytes(passes):
    first, second = map(files, passes)
    assert {Path(name).suffix for name in first} >= {".gz", ".png", ".json", ".html", ".nrrd"}
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_json_names_scan_weights_software_checks_and_options(passes, facts):
    scan_sha256, weights = facts
    for name in ("ground", "findings"):
        result = json.loads((passes[0] / name / f"{name}.json").read_text(encoding="utf-8"))
        made = result["made_by"]
        assert made["scan_sha256"] == scan_sha256
        assert result["weights"]["sha256"] == weights[name]
        assert made["versions"]["simcrop"] == __version__
        assert made["device"] == "cpu"
        assert made["parameters"]["force"] == made["parameters"]["full_resolution"] == "false"
        assert result["passport"]


def test_every_other_file_names_them_too(passes, facts):
    scan_sha256, weights = facts
    ground, found = passes[0] / "ground", passes[0] / "findings"
    said = {
        "ground": [
            _comments(ground / "01-heatmap.nii.gz"),
            Image.open(ground / "01-figure.png").text["Comment"],
            (ground / "report.html").read_text(encoding="utf-8"),
        ],
        "segment": [_comments(passes[0] / "lungs.nii.gz"), _metadata(passes[0] / "lungs.seg.nrrd")],
        "findings": [
            _comments(found / "hiatal-hernia-heatmap.nii.gz"),
            (found / "findings.html").read_text(encoding="utf-8"),
        ],
    }
    for kind, texts in said.items():
        for text in texts:
            assert scan_sha256 in text
            assert weights[kind] in text
            assert __version__ in text
            assert "spacing pass" in text


def test_only_results_that_show_the_scans_name_hold_it(passes):
    """JSON and pages call the scan by its file; images leave the house without."""
    named = {name for name, data in files(passes[0]).items() if b"Beeblebrox" in data}
    assert named <= {"ground/ground.json", "ground/report.html", "findings/findings.json", "findings/findings.html",
                     "stdout"}  # fmt: skip


def _comments(path):
    return "\n".join(extension.get_content().decode() for extension in nibabel.load(path).header.extensions)


def _metadata(path):
    image = SimpleITK.ReadImage(path)
    return "\n".join(image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("simcrop"))
