"""The same scan, weights and options make the same bytes, in every file; and every file says what it was made from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from chests import affine_of, chest_hu, volume_of
from dicom_files import Series
from PIL import Image

from simcrop_core import __version__
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.models.checksum import read_sha256
from simcrop_core.models.weights import Thresholds, load_weights, save_weights
from simcrop_core.serve.content_id import content_id

ROOT = Path(__file__).parents[2]
# One process does everything, as loading torch is what takes the time: the commands, then what only Python asks for.
PASS = """
import sys, json
from pathlib import Path
from simcrop_core.cli import main
commands, series, weights = json.loads(sys.argv[1])
for command in commands:
    sys.argv = ["simcrop", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
from simcrop_core.export.dicom.grounding import write_dicom_grounding
from simcrop_core.export.dicom.segmentation import write_segmentation
from simcrop_core.export.figure import write_figure
from simcrop_core.export.nifti import write_labelmap
from simcrop_core.export.provenance import facts_of
from simcrop_core.imaging.dicom.source import read_source
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.serve.work_folder import zipped
from simcrop_core.text.report import parse_sentence
engine, source = Engine(weights, "cpu"), read_source(Path(series))
session = Session.open(Path(series), engine)
grounded = session.ground([parse_sentence("Mass in the right lung.")])
result, scale = grounded.result, engine.colour_scale
facts = facts_of(result)
write_dicom_grounding(Path("dicom"), result, grounded.heatmaps, scale, source)
write_segmentation(Path("lungs.dcm"), session.segment("lungs"), source, engine.segmentation_info())
for suffix in (".jpg", ".webp", ".pdf", ".svg"):
    write_figure(f"figure{suffix}", session.volume, grounded.heatmaps[0], result.sentences[0], scale, facts=facts)
for suffix in (".nii", ".nrrd", ".mha"):
    write_labelmap(f"air{suffix}", session.volume.voxels < -500, session.volume.affine, {1: "air"}, facts=facts)
Path("export.zip").write_bytes(zipped(Path("ground")).tobytes())
"""


class ChestSeries(Series):
    """The drawn chest as a DICOM series."""

    def stored(self, k):
        between_rows, between_columns = self.pixel_mm
        rows, columns = np.mgrid[: self.rows, : self.columns]
        places = np.stack([columns * between_columns, rows * between_rows, np.zeros_like(rows)], axis=-1)
        hu = chest_hu((self.position(k) + places) * [-1, -1, 1])
        return (hu + 1024).astype(np.uint16)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """The drawn chest in a file that is named as careless people name files."""
    shape = (64, 48, 56)
    volume = volume_of(chest_hu, affine_of(signs=(-1, -1, 1), spacing=(6, 6, 6), shape=shape), shape)
    path = tmp_path_factory.mktemp("scan") / "Beeblebrox.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), path)
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """The same chest as a hospital has it."""
    grid = {"columns": 64, "rows": 48, "slices": 56, "pixel_mm": (6.0, 6.0), "step_mm": 6.0}
    return ChestSeries(**grid, origin=(-189.0, -141.0, -165.0)).write(tmp_path_factory.mktemp("series") / "ct")


@pytest.fixture(scope="module")
def quiet(bright_finder, tmp_path_factory):
    """The same weights with thresholds that no sentence reaches, because drawing figures takes seconds."""
    folder = tmp_path_factory.mktemp("quiet")
    tensors, metadata = load_weights(bright_finder / "grounding.safetensors")
    save_weights(folder / "grounding.safetensors", tensors, replace(metadata, thresholds=Thresholds(0.999, 0.998)))
    return folder


@pytest.fixture(scope="module")
def passes(scan, series, bright_finder, quiet, tmp_path_factory):
    """The folders of two processes that differ in everything that must not matter: the hash seed, the time zone."""
    pytest.importorskip("highdicom", reason="needs highdicom: pip install 'simcrop[dicom]'")
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
        environment["SOURCE_DATE_EPOCH"] = "1700000000"
        command = [sys.executable, "-c", PASS, json.dumps([commands, str(series), str(bright_finder)])]
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


WRITTEN = {".nii", ".gz", ".nrrd", ".mha", ".dcm", ".png", ".jpg", ".webp", ".pdf", ".svg", ".json", ".html", ".zip"}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_runs_give_the_same_bytes(passes):
    first, second = map(files, passes)
    assert {Path(name).suffix for name in first} >= WRITTEN
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_only_the_time_of_making_tells_two_dicom_objects_apart(passes):
    """Of the same run the UIDs are the same; they are a sum of what is in an object, the time among it."""
    made = [pydicom.dcmread(path) for path in sorted((passes[0] / "dicom").glob("*.dcm"))]
    assert [one.Modality for one in made] == ["OT", "SEG", "SR"]
    own = {one.SOPInstanceUID for one in made}
    assert len(own) == len(made)
    assert {one.ContentDate for one in made} == {"20231114"}
    named = {str(element.value) for element in made[-1].iterall() if element.VR == "UI"}
    assert own <= named, "the report goes on naming the others"


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
