"""A real server over real HTTP gives what the engine gives, to the number and to the millimetre."""

from __future__ import annotations

import io
import json
import os
import zipfile

import nibabel
import numpy as np
import pytest

from simcrop_core import __version__
from simcrop_core.errors import (
    BadRequest,
    NotAChest,
    NotASingleVolume,
    NothingToGround,
    TaskNotSupported,
    UnreadableFile,
)
from simcrop_core.imaging.passport import check
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.results import as_json
from simcrop_core.serve.client import Call
from simcrop_core.text.report import parse_report, parse_sentence

SENTENCES = ["Nodule in the right upper lobe.", "No pleural effusion.", "The heart is enlarged."]
REPORT = "FINDINGS:\nLungs: Consolidation in the left lower lobe (series 4, image 112). No effusion.\n"


@pytest.fixture(scope="module")
def here(chest):
    """The same scan in this process."""
    volume, passport = check(chest)
    return Session(volume, passport, Engine("starter", "cpu"))


def test_the_ready_line_is_the_servers_own(server):
    assert server.ready["event"] == "ready"
    assert server.ready["version"] == __version__
    assert server.ready["port"] > 0
    assert server.memory() > 0


def test_capabilities_name_versions_weights_tasks_and_limits(server, client):
    can = client.capabilities()
    assert can["pid"] == server.ready["pid"] != os.getpid()
    assert can["version"] == __version__
    assert can["weights"]["grounding"]["licence"] == "Apache-2.0"
    assert can["tasks"]["lungs"] == {"1": "left lung", "2": "right lung"} or "lungs" in can["tasks"]
    assert can["colour_scale"]["low"] < can["colour_scale"]["high"]
    assert {"raw", "zlib"} <= set(can["codings"])
    assert client.health()["status"] == "ready"
    assert can["weights"]["name"] in [summary["name"] for summary in client.weights()["weights"]]
    assert os.sep not in json.dumps(client.weights()).replace("\\\\", "")


def test_sentences_get_the_engines_own_answer(scan, here):
    told = scan.ground(SENTENCES)
    expected = here.ground([parse_sentence(text) for text in SENTENCES])
    document = dict(told.document)
    heatmaps, scale = document.pop("heatmaps"), document.pop("colour_scale")
    assert document["sentences"] == json.loads(json.dumps(as_json(expected.result)["sentences"]))
    assert document["frame"] == json.loads(json.dumps(as_json(expected.result)["frame"]))
    assert scale["low"] == here.engine.colour_scale.low
    for entry in heatmaps:
        heatmap = expected.heatmaps[entry["index"]]
        np.testing.assert_array_equal(told.arrays[entry["array"]], heatmap.scores)
        np.testing.assert_allclose(entry["affine"], heatmap.affine)
    assert len(told.arrays) == sum(heatmap is not None for heatmap in expected.heatmaps)
    assert not scan.ground(SENTENCES, heatmaps=False).arrays


def test_a_report_is_read_by_the_server(scan, client):
    told = scan.ground(report=REPORT, heatmaps=False)
    statements = parse_report(REPORT)
    assert [sentence["text"] for sentence in told.document["sentences"]] == [s.text for s in statements]
    parsed = client.parse(report=REPORT)
    assert [s["polarity"] for s in parsed] == [s.polarity for s in statements]
    assert parsed[0]["reference"] == {"series": 4, "image": 112, "found": None, "distance_mm": None}
    assert parsed[0]["heading"] == "Lungs"
    again = scan.ground([{"text": s["text"], "heading": s["heading"]} for s in parsed], heatmaps=False)
    assert again.document["sentences"] == told.document["sentences"]


def test_a_long_report_says_how_far_it_is(scan):
    stages = []
    report = " ".join(f"Nodule of {n} mm in the left upper lobe." for n in range(3, 30))
    told = scan.ground(report=report, call=Call(lambda event: stages.append(event.stage)))
    assert len(told.document["sentences"]) == 27 == len(told.arrays)


def test_sentences_are_ranked_for_a_point(scan, here):
    ranked = scan.at((60.0, 0.0, 0.0), SENTENCES)
    assert ranked == json.loads(json.dumps(as_json(here.at((60.0, 0.0, 0.0), [parse_sentence(s) for s in SENTENCES]))))
    shares = [sentence["share_below"] for sentence in ranked["sentences"]]
    assert shares == sorted(shares, reverse=True)
    top = scan.ground(SENTENCES[:1]).document["sentences"][0]["peak_ras_mm"]
    (best,) = scan.at(top, SENTENCES[:1])["sentences"]
    assert best["peak"]
    assert best["share_below"] == 1.0
    assert scan.at((9000.0, 0.0, 0.0), SENTENCES)["patch_ras_mm"] is None


def test_findings_and_check_are_the_engines(scan, here):
    told = scan.findings()
    expected = here.findings()
    assert told.document["findings"] == json.loads(json.dumps(as_json(expected.result)["findings"]))
    assert len(told.arrays) == len(told.document["findings"])
    checked = scan.check()
    assert checked["lungs_found"]
    passport = [*here.passport, *here.chest_findings]
    assert [finding["code"] for finding in checked["passport"]] == [finding.code for finding in passport]


def test_labels_come_on_the_grid_of_the_scan(scan, here, chest):
    seen = []
    told = scan.segment("lungs", call=Call(seen.append))
    labels = told.arrays["labels"]
    assert labels.dtype == np.uint8
    assert labels.shape == chest.shape
    np.testing.assert_allclose(told.document["affine"], chest.affine)
    counted = {name: int((labels == int(value)).sum()) for value, name in told.document["labels"].items()}
    voxel_ml = 27 / 1000
    for name, voxels in counted.items():
        assert told.document["volume_ml"][name] == pytest.approx(voxels * voxel_ml, abs=0.02)
    assert {event.stage for event in seen} & {"Segmenting", "Writing labels"}
    with pytest.raises(TaskNotSupported, match="do not know"):
        scan.segment("toes")


def test_an_export_is_what_ground_writes_and_leaves_nothing(scan, temporary_folder):
    archive = zipfile.ZipFile(io.BytesIO(scan.export(SENTENCES[:1])))
    assert {"01-heatmap.nii.gz", "01-figure.png", "ground.json", "report.html"} == set(archive.namelist())
    assert json.loads(archive.read("ground.json"))["sentences"][0]["text"] == SENTENCES[0]
    (own,) = temporary_folder.glob("simcrop-serve-*")
    assert not list(own.iterdir())


def test_a_file_is_opened_by_path_where_the_server_is_local(client, chest, tmp_path, narrow_server):
    from simcrop_core.export.nifti import write_volume

    write_volume(tmp_path / "ct.nii.gz", chest.voxels, chest.affine, description="a drawn chest")
    with client.open_path(tmp_path / "ct.nii.gz") as opened:
        assert opened.state["volume"]["shape"] == list(chest.shape)
        assert opened.ground(SENTENCES[:1]).document["volume"]["name"]
    with pytest.raises(UnreadableFile):
        client.open_path(tmp_path / "nothing.nii.gz")
    later = chest.voxels.copy()
    later[0, 0, 0] += 1  # The server knows a volume that it holds already, whatever it is called.
    nibabel.save(nibabel.Nifti1Image(np.stack([chest.voxels, later], axis=3), chest.affine), tmp_path / "4d.nii")
    with pytest.raises(NotASingleVolume, match="2 volumes"):
        client.open_path(tmp_path / "4d.nii")
    with client.open_path(tmp_path / "4d.nii", frame=2) as second:
        assert second.state["volume"]["shape"] == list(chest.shape)
        assert "frame" in [finding["code"] for finding in second.state["passport"]]
    with narrow_server.client() as remote, pytest.raises(BadRequest, match="by path"):
        remote.open_path(tmp_path / "ct.nii.gz")


def test_a_scan_without_lungs_is_refused_by_name_unless_forced(client, chest):
    water = np.where(chest.voxels < -500, np.int16(40), chest.voxels).astype(np.int16)
    water[:20] = -1000
    with client.open(water, chest.affine) as scan, pytest.raises(NotAChest) as fault:
        scan.ground(SENTENCES[:1])
    assert fault.value.hint
    with client.open(water, chest.affine, force=True) as scan:
        assert scan.ground(SENTENCES[:1]).document["warnings"]


def test_no_sentence_is_named(scan):
    for nothing in ([], [" "]):
        with pytest.raises(NothingToGround):
            scan.ground(nothing)
