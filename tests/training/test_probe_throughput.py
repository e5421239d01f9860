"""Both ways to probe, timed in turn: what is measured, what is multiplied, and from files to page."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from simcrop_training.evaluate.probing.command import Throughput
from simcrop_training.evaluate.probing.presets import OFFICIAL, OfficialSettings
from simcrop_training.evaluate.probing.throughput import LISTED, Round, Seconds, Timed, released_lists, whole

from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata


def took(*walls):
    return Round(*(Seconds(wall, wall / 2) for wall in walls))


def test_a_whole_run_is_what_the_protocol_encodes_by_what_a_scan_takes():
    """Fifty epochs of two steps; forty validations of three scans; five test scans; the median of three rounds."""
    timed = Timed(6, 2, 4, (took(2, 1, 20, 8), took(3, 1, 20, 8), took(90, 90, 90, 90)))
    settings = OfficialSettings(1e-3, steps=100, warm_up=1, batch=2)
    row = whole(timed, "toy", settings, 4, 3, 5)
    assert timed.once.wall == pytest.approx(2)
    assert (row.encoded_anew, row.encoded_once) == (200 + 40 * 3 + 5, 9)
    assert row.anew.wall == pytest.approx(200 * 3 + 125 * 1)
    assert row.once.wall == pytest.approx(9 * 2 + 8)
    assert row.ratio == pytest.approx(725 / 26)
    assert row.cpu_ratio == pytest.approx(row.ratio)


def test_every_released_recipe_has_lists():
    assert LISTED.keys() == OFFICIAL.keys()
    rows = {row.task: row for row in released_lists(Timed(1, 1, 1, (took(1, 1, 2, 1),)))}
    assert rows["ct-rate 1 %"].encoded_anew == 202_457
    assert (rows["luna16 100 %"].encoded_anew, rows["luna16 100 %"].encoded_once) == (86_397, 888)


@pytest.fixture
def luna16(tmp_path, coarse_chest):
    """Six chests, of which three tenths, rounded up, are for testing."""
    folder = tmp_path / "luna"
    (folder / "images").mkdir(parents=True)
    lines = ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
    for number in range(6):
        voxels = coarse_chest[:, :, 20:64] + np.int16(number)
        nib.Nifti1Image(voxels, np.diag([4.0, 4.0, 4.0, 1.0])).to_filename(folder / f"images/1.2.{number}.nii.gz")
        lines += [f"1.2.{number},0,0,0,8.5"] * (number % 2)
    (folder / "annotations.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_times_both_and_says_what_is_multiplied(luna16, tmp_path):
    torch.manual_seed(0)
    frame = replace(PRESETS["tiny"].frame, placement="volume")
    config = EncoderConfig("mae3d", PRESETS["tiny"].vision, frame)
    kept = VisionTransformer(PRESETS["tiny"].vision).state_dict()
    save_weights(
        tmp_path / "toy/encoder.safetensors", kept, WeightsMetadata("toy", config, Provenance("Apache-2.0", "", True))
    )
    out = tmp_path / "out"
    asked = Throughput(
        task="luna16",
        data=luna16,
        output=out,
        weights=str(tmp_path / "toy"),
        rounds=2,
        steps=3,
        device="cpu",
        readers=1,
    )
    replace(asked, rounds=1).run()
    before = {path: path.stat().st_mtime_ns for path in (out / "kept/round-0").rglob("features/*/*/*.npz")}
    asked.run()
    after = {path: path.stat().st_mtime_ns for path in before}
    assert len(before) == 6
    assert all(after[path] > before[path] for path in before)  # nothing that was kept makes a timing shorter
    document = json.loads((out / "results.json").read_text())
    measured = document["measured"]
    assert (measured["scans"], measured["steps"], measured["views"]) == (6, 3, 12)
    assert len(measured["rounds"]) == 2
    assert all(took["cpu"] > 0 for one in measured["rounds"] for took in one.values())
    own, *listed = document["multiplied"]
    assert (own["encoded_once"], len(listed)) == (6, 10)
    view, fixed = (measured["median"][name]["wall"] for name in ("view", "fixed"))
    assert own["anew"]["wall"] == pytest.approx(2000 * 4 * view + (own["encoded_anew"] - 8000) * fixed)
    page = (out / "results.md").read_text()
    assert page.index("## Measured") < page.index("## Multiplied") < page.index("| ct-rate 100 % | 651,555 | 49,372 |")
    assert "Nothing of the column `anew` ran to its end." in page
