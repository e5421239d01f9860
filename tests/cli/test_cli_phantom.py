"""`simcrop phantom` as a user runs it: killed, taken up again, asked for nonsense."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from simcrop_core.cli import main
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.layouts.truth_files import read_truth

ROOT = Path(__file__).parents[2]


def command(*arguments):
    return [sys.executable, "-c", "from simcrop_core.cli import main; main()", "phantom", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'training'}", "COLUMNS": "200"}


def test_a_killed_run_is_taken_up_where_it_stopped(tmp_path):
    folder = tmp_path / "phantoms"
    first = subprocess.Popen(command(folder, "-n", 2), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(folder.glob("truth/[!.]*.json")):
        assert time.monotonic() < end, "the first scan takes seconds"
        assert first.poll() is None, "it ended before it had drawn anything"
        time.sleep(0.05)
    first.kill()
    first.wait()
    for path in folder.rglob("[!.]*.nii.gz"):
        np.asarray(nibabel.load(path).dataobj)
    ran = subprocess.run(
        command(folder, "-n", 2, "--workers", 2, "--json"), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    schema = json.loads((ROOT / "docs" / "schema" / "phantom.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(result)
    assert result["skipped"] >= 1
    assert result["drawn"] + result["skipped"] == result["held"] == 2
    assert all((folder / file).is_file() for scan in result["scans"] for file in scan["files"])
    _is_the_phantom_of_its_seed(folder, result["scans"][0])


def _is_the_phantom_of_its_seed(folder, scan):
    drawn = draw_phantom(scan["seed"])
    image = nibabel.as_closest_canonical(nibabel.load(folder / scan["files"][0]))
    np.testing.assert_array_equal(np.asarray(image.dataobj), drawn.image)
    np.testing.assert_allclose(image.affine, drawn.affine, atol=1e-4)
    assert set(scan["present"]) == drawn.present
    truth = read_truth(folder, scan["scan"])
    np.testing.assert_array_equal(truth.labels[::-1, ::-1], drawn.labels)
    assert [s.text for s in truth.statements] == [s.text for s in drawn.statements]


@pytest.mark.parametrize(
    "words",
    [
        ("-n", "0"),
        ("-n", "-3"),
        ("-n", "some"),
        (),
        ("-n", "1", "--workers", "0"),
        ("-n", "1", "--valid-percent", "101"),
        ("-n", "1", "--first-seed", "-1"),
        ("-n", "1", "--layout", "mimic"),
    ],
)
def test_numbers_that_make_no_sense_are_usage_errors(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["phantom", str(tmp_path / "phantoms"), *words])
    assert ended.value.code == 2
    assert not (tmp_path / "phantoms").exists()
    capsys.readouterr()


def test_a_folder_of_real_data_is_refused_in_one_message(tmp_path, capsys):
    (tmp_path / "scan.nii.gz").write_bytes(b"real")
    with pytest.raises(SystemExit) as ended:
        main(["phantom", str(tmp_path), "-n", "1"])
    assert ended.value.code == 1
    assert "cannot-write" in capsys.readouterr().err
