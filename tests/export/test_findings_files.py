"""What `findings` writes: names, numbers and pictures, and nothing that reads as a verdict."""

from __future__ import annotations

import dataclasses
import json

import nibabel
import numpy as np
import pytest

from simcrop_core.errors import Cancelled
from simcrop_core.export.findings_folder import write_findings
from simcrop_core.export.findings_page import write_findings_page
from simcrop_core.progress import Job
from simcrop_core.results import as_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory, chest, findings, finding_sentences, heatmap, scale):
    folder = tmp_path_factory.mktemp("findings")
    (folder / "hiatal-hernia-figure.png").write_bytes(b"of an earlier run, which located it")
    write_findings(folder, chest, findings, finding_sentences, [heatmap] * 3, scale)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "findings.html").read_text(encoding="utf-8")


def test_every_finding_has_a_heatmap_and_those_that_are_drawn_a_figure(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "findings.html",
        "findings.json",
        "hiatal-hernia-heatmap.nii.gz",
        "lung-opacity-figure.png",
        "lung-opacity-heatmap.nii.gz",
        "pleural-effusion-figure.png",
        "pleural-effusion-heatmap.nii.gz",
    ]


def test_the_json_names_the_files_and_the_heatmap_peaks_where_it_says(folder, findings):
    written = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    assert [finding.pop("heatmap") for finding in written["findings"]] == [
        "lung-opacity-heatmap.nii.gz", "pleural-effusion-heatmap.nii.gz", "hiatal-hernia-heatmap.nii.gz",
    ]  # fmt: skip
    expected = json.loads(json.dumps(as_json(findings)))
    for finding in expected["findings"]:
        assert finding.pop("heatmap") is None
    made, own = written.pop("made_by"), expected.pop("made_by")
    assert made["parameters"].items() >= own.pop("parameters").items()
    assert made.items() >= own.items()
    assert written == expected
    heatmap = nibabel.load(folder / "lung-opacity-heatmap.nii.gz")
    peak = np.unravel_index(np.argmax(heatmap.get_fdata()), heatmap.shape)
    np.testing.assert_allclose(
        nibabel.affines.apply_affine(heatmap.affine, peak), findings.findings[0].peak_ras_mm, atol=0.01
    )


def test_full_resolution_heatmaps_are_on_the_grid_of_the_scan(
    tmp_path, chest, findings, finding_sentences, heatmap, scale
):
    one = dataclasses.replace(findings, findings=findings.findings[2:])
    write_findings(tmp_path, chest, one, finding_sentences[2:], [heatmap], scale, full_resolution=True)
    assert nibabel.load(tmp_path / "hiatal-hernia-heatmap.nii.gz").shape == chest.shape


def test_the_page_says_that_scores_are_uncalibrated_and_no_diagnosis(page):
    header, rest = page.split("</header>")
    assert "Uncalibrated scores; not a diagnosis." in header
    assert "1 located, 1 weak, 1 not located" in header
    assert "does not say that the finding is there" in rest
    assert "Not a medical device; for research use only." in rest


def test_the_page_lists_findings_in_order_with_their_own_score_and_best_sentence(page):
    places = [page.index(f">{label}: ") for label in ("Lung opacity", "Pleural effusion", "Hiatal hernia")]
    assert places == sorted(places)
    for words in ("score 0.51", "score 0.40", "score -0.05", "Lung opacity: A mass in the left lower lobe."):
        assert words in page
    assert "<dt>Score of the finding</dt><dd>0.512</dd>" in page
    assert "<dt>Cosine of the sentence</dt><dd>0.412</dd>" in page


def test_a_finding_that_was_not_located_shows_no_heat_and_no_peak(page):
    entry = page.split(">Hiatal hernia: ")[1].split("</details>")[0]
    assert "Not located" in entry
    assert 'href="#plain"' in entry
    assert "Peak" not in entry
    assert page.count("data:image/jpeg;base64,") == 3, "two of findings, one plain"


def test_hostile_words_are_shown_and_not_obeyed(tmp_path, chest, findings, finding_sentences, heatmap, scale):
    hostile = '<script>alert("x")</script>'
    volume = dataclasses.replace(findings.volume, name=hostile)
    result = dataclasses.replace(findings, volume=volume, warnings=[hostile])
    write_findings_page(tmp_path / "findings.html", chest, result, finding_sentences, [heatmap] * 3, scale)
    source = (tmp_path / "findings.html").read_text(encoding="utf-8")
    assert "<script" not in source
    assert source.count("&lt;script&gt;") == 3, "title, heading, warning"


def test_cancelling_leaves_whole_files_and_no_page(tmp_path, chest, findings, finding_sentences, heatmap, scale):
    job = Job(lambda step: job.cancel() if (step.stage, step.done) == ("Writing results", 1) else None)
    with pytest.raises(Cancelled):
        write_findings(tmp_path, chest, findings, finding_sentences, [heatmap] * 3, scale, job=job)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lung-opacity-figure.png",
        "lung-opacity-heatmap.nii.gz",
    ]
