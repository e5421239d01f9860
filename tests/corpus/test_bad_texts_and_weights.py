"""Every bad report and every bad file of weights ends in its named refusal, by the command's own entry."""

from __future__ import annotations

import os
import time

import nibabel
import pytest
from bad_texts import LONG, ODD, REFUSED
from bad_weights import PICKLES, SAFETENSORS
from chests import affine_of, chest_hu, volume_of

from simcrop_core.cli.main import main
from simcrop_core.text.report import parse_report

MOST_S = 30.0


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    shape = (64, 48, 56)
    volume = volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=shape), shape)
    path = tmp_path_factory.mktemp("scan") / "chest.nii"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), path)
    return path


def simcrop(*arguments):
    """The exit code of the command, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.parametrize("name", REFUSED)
def test_a_report_without_words_is_refused_before_anything_is_done(name, scan, tmp_path, monkeypatch, capsys):
    make, code = REFUSED[name]
    report = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert simcrop("ground", scan, "--report", report) == 1
    said = capsys.readouterr()
    assert f"({code})" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "simcrop-results").exists()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_report_is_grounded_and_its_words_stay_words(name, scan, bright_finder, tmp_path, capsys):
    code = simcrop(
        "ground", scan, "--report", ODD[name](tmp_path), "--weights", bright_finder, "--device", "cpu",
        "--output", tmp_path / "out",
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not any(mark in text for text in (page, said.out, said.err) for mark in "\x00\x07\x08\x1b")


@pytest.mark.parametrize("name", LONG)
def test_a_megabyte_in_one_line_is_read_in_bounded_time(name, tmp_path):
    text = LONG[name](tmp_path).read_text(encoding="utf-8")
    start = time.process_time()
    statements = parse_report(text)
    assert time.process_time() - start < MOST_S
    assert sum(len(statement.text) for statement in statements) <= len(text)


@pytest.mark.parametrize("name", SAFETENSORS)
def test_bad_weights_are_refused_by_name(name, scan, bright_finder, tmp_path, monkeypatch, capsys):
    make, code = SAFETENSORS[name]
    weights = make(tmp_path, bright_finder)
    monkeypatch.chdir(tmp_path)
    assert simcrop("ground", scan, "--sentence", "Nodule.", "--weights", weights, "--device", "cpu") == 1
    said = capsys.readouterr()
    assert f"({code})" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "simcrop-results").exists()


@pytest.mark.parametrize("name", PICKLES)
def test_a_bad_pickle_is_refused_and_runs_nothing(name, bright_finder, tmp_path, monkeypatch, capsys):
    make, code = PICKLES[name]
    source = make(tmp_path, bright_finder)
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "kept"))
    before = sorted(tmp_path.rglob("*"))
    assert simcrop("weights", "import", source, "--name", "bad") == 1
    said = capsys.readouterr()
    assert f"({code})" in said.err
    assert "Traceback" not in said.err
    assert sorted(tmp_path.rglob("*")) == before, os.linesep.join(map(str, tmp_path.rglob("*")))
