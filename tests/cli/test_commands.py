"""The commands as a user runs them: a process, its exit code, its output, its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of

ROOT = Path(__file__).parents[2]


def simcrop(*arguments, cwd=None):
    """Run the command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'training'}", "COLUMNS": "200"}
    command = [sys.executable, "-c", "from simcrop_core.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """The drawn chest as a NIfTI file, stored LPS."""
    shape = (64, 48, 56)
    volume = volume_of(chest_hu, affine_of(signs=(-1, -1, 1), spacing=(6, 6, 6), shape=shape), shape)
    path = tmp_path_factory.mktemp("scan") / "drawn chest.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), path)
    return path


def test_help_says_what_it_is_and_what_it_is_not():
    ran = simcrop("--help")
    assert ran.returncode == 0
    assert "not a medical device" in ran.stdout
    assert all(command in ran.stdout for command in ("ground", "segment", "info", "weights", "bench", "demo"))


def test_ground_writes_everything_and_prints_json(scan, bright_finder, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("Findings: No pleural effusion. Nodule in the left lung (series 4, image 112).", encoding="utf-8")
    ran = simcrop(
        "ground", scan, "--sentence", "Mass in the right lung.", "--report", report, "--weights", bright_finder,
        "--output", tmp_path / "out", "--device", "cpu", "--json",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["schema"] == "simcrop.ground/1"
    assert [s["polarity"] for s in result["sentences"]] == ["positive", "negated", "positive"]
    assert result["sentences"][2]["reference"] == {"series": 4, "image": 112, "found": None, "distance_mm": None}
    assert json.loads((tmp_path / "out" / "ground.json").read_text(encoding="utf-8")) == result
    heatmap = nibabel.load(tmp_path / "out" / result["sentences"][0]["heatmap"])
    assert heatmap.shape == (14, 14, 14)
    peak = np.unravel_index(np.argmax(heatmap.get_fdata()), heatmap.shape)
    # In that patch of 24 mm, between it and its neighbours.
    np.testing.assert_allclose(
        nibabel.affines.apply_affine(heatmap.affine, peak), result["sentences"][0]["peak_ras_mm"], atol=12.01
    )
    assert (tmp_path / "out" / "01-figure.png").stat().st_size > 10_000
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Mass in the right lung." in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_ground_full_resolution_is_on_the_grid_of_the_scan(scan, bright_finder, tmp_path):
    ran = simcrop(
        "ground", scan, "--sentence", "Nodule.", "--weights", bright_finder, "--output", tmp_path, "--full-resolution"
    )
    assert ran.returncode == 0, ran.stderr
    heatmap, ct = nibabel.load(tmp_path / "01-heatmap.nii.gz"), nibabel.load(scan)
    assert heatmap.shape == ct.shape
    np.testing.assert_allclose(heatmap.affine, ct.affine, atol=1e-5)


def test_results_go_to_a_folder_named_after_the_scan(scan, bright_finder, tmp_path):
    ran = simcrop("ground", scan, "--sentence", "Nodule.", "--weights", bright_finder, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "simcrop-results").iterdir()
    assert folder.name.startswith("drawn-chest-")
    assert (folder / "report.html").exists()


def test_segment_writes_a_label_map_on_the_grid_of_the_scan(scan, bright_finder, tmp_path):
    output = tmp_path / "lungs.nii.gz"
    ran = simcrop("segment", scan, "--task", "lungs", "--weights", bright_finder, "--output", output, "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["labels"] == {"1": "left lung", "2": "right lung", "3": "trachea"}
    labels, ct = nibabel.load(output), nibabel.load(scan)
    assert labels.shape == ct.shape
    np.testing.assert_allclose(labels.affine, ct.affine, atol=1e-5)
    voxel_ml = 6**3 / 1000
    counted = {
        name: round(float((labels.get_fdata() == int(v)).sum() * voxel_ml), 2) for v, name in result["labels"].items()
    }
    assert result["volume_ml"] == pytest.approx(counted, abs=0.02)


def test_info_says_what_the_header_says(scan):
    ran = simcrop("info", scan, "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["volume"]["orientation"] == "LPS"
    assert result["volume"]["shape"] == [64, 48, 56]
    assert result["field_of_view_mm"] == pytest.approx([384, 288, 336])
    low, high = result["lungs_box_ras_mm"]
    assert low[0] < -100
    assert high[0] > 100


def test_a_fault_of_the_input_is_one_message_a_hint_and_exit_code_1(tmp_path):
    garbage = tmp_path / "report.nii.gz"
    garbage.write_bytes(b"not an image")
    for command in (("info", garbage), ("ground", garbage, "--sentence", "Nodule.")):
        ran = simcrop(*command)
        assert ran.returncode == 1
        assert "unreadable-file" in ran.stderr
        assert "Traceback" not in ran.stderr


def test_unknown_weights_and_usage_have_their_exit_codes(scan):
    ran = simcrop("ground", scan, "--sentence", "Nodule.", "--weights", "no-such-weights")
    assert ran.returncode == 1
    assert "unknown-weights" in ran.stderr
    assert simcrop("ground").returncode == 2
    assert simcrop("ground", scan, "--no-such-option").returncode == 2


def test_no_sentence_is_said_before_anything_is_computed(scan, bright_finder):
    ran = simcrop("ground", scan, "--weights", bright_finder)
    assert ran.returncode == 1
    assert "nothing-to-ground" in ran.stderr


def test_ground_at_a_place_ranks_the_sentences_for_it(scan, bright_finder, tmp_path):
    """On what is bright every sentence fits better than in air; no file is written."""
    asked = ("ground", scan, "--sentence", "Mass in the left lung.", "--sentence", "Comparison is made to 2019.")
    shares = []
    for point in ("-20,20,-30", "-65,5,60"):
        ran = simcrop(*asked, f"--at={point}", "--weights", bright_finder, "--json", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        result = json.loads(ran.stdout)
        assert result["schema"] == "simcrop.at/1"
        assert result["point_ras_mm"] == [float(mm) for mm in point.split(",")]
        assert [s["sentence"] for s in result["sentences"]] == [0], "a comparison is about no place"
        shares.append(result["sentences"][0]["share_below"])
    assert shares[0] > shares[1], "heart before lung"
    assert list(tmp_path.iterdir()) == []
    assert simcrop(*asked, "--at=1,2").returncode == 2
