"""Every bad image ends in the outcome that names it, by the command's own entry, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from bad_images import IMAGES

from simcrop_core.cli.main import main

ROOT = Path(__file__).parents[2]
MOST_S = 30.0  # each takes half a second on a quiet machine
MOST_BYTES = 3 * 2**30
IN_A_PROCESS = ["nifti-bomb", "nifti-promises-too-much", "nrrd-promises-too-much", "mha-promises-too-much"]
_CAPPED = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({MOST_BYTES}, {MOST_BYTES}))
from simcrop_core.cli.main import main
main()
"""


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def processor_s():
    """Of this process and of those that it has ended: images are parsed in one of their own."""
    return sum(os.times()[:4])


@pytest.mark.parametrize("name", IMAGES)
def test_a_bad_image_ends_in_its_named_outcome(name, tmp_path, monkeypatch, capsys):
    make, expected = IMAGES[name]
    (tmp_path / "input").mkdir()
    (tmp_path / "scratch").mkdir()
    path = make(tmp_path / "input")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    before, start = below(tmp_path), processor_s()
    with pytest.raises(SystemExit) as ended:
        main(["check", str(path), "--json"])
    assert processor_s() - start < MOST_S
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert expected in [(finding["code"], finding["outcome"]) for finding in result["passport"]]
    assert all(finding["message"] for finding in result["passport"])
    if expected[1] == "refused":
        assert result["outcome"] == "refused"
        assert result["passport"][-1]["hint"]
    assert ended.value.code == (1 if result["outcome"] == "refused" else 0)
    assert "Traceback" not in said.err
    assert below(tmp_path) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a process to a limit of its addresses")
@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_what_promises_too_much_is_refused_within_bounded_memory(name, tmp_path):
    make, (code, _) = IMAGES[name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    path = make(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", _CAPPED, "ground", str(path), "--sentence", "Nodule."],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    assert f"({code})" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "simcrop-results").exists()
