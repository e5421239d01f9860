"""Zero-shot from files to page: every scan asked once, bad ones counted, studies averaged, labels translated."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_rate_files import save_lps
from hand_set_weights import PROVENANCE
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet
from simcrop_training.datasets.rad_chestct import RAD_CHESTCT_LABELS
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.evaluate.probing.tasks import TaskData
from simcrop_training.evaluate.scan_volumes import frame_of
from simcrop_training.evaluate.summary import read_entries
from simcrop_training.evaluate.trained import NothingToRead, load_trained
from simcrop_training.evaluate.zero_shot.ask import Asker
from simcrop_training.evaluate.zero_shot.prompts import prompts_of
from simcrop_training.evaluate.zero_shot.run import Asked, Request, by_study, zero_shot
from simcrop_training.evaluate.zero_shot.scans import Answers, ScanAsker, ask_scans
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairData
from simcrop_training.recipe import identity_of, overridden, read_recipe

from simcrop_core.errors import TaskNotSupported, UnknownWeights
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.weights import WeightsMetadata, save_weights
from simcrop_core.text.ct_rate import CT_RATE_LABELS

NAMES = ["train_1_a_1", "valid_1_a_1", "valid_1_a_2", "valid_2_a_1", "valid_3_a_1"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny grounding network of random numbers."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(4)
    model = GroundingModel(PRESETS["tiny"])
    save_weights(
        folder / "grounding.safetensors", model.flat_state_dict(), WeightsMetadata("tiny", PRESETS["tiny"], PROVENANCE)
    )
    return folder


def exported(name, folder):
    """A tiny network of a method, as a run leaves it."""
    recipe = overridden(read_recipe(Path(name)), {"preset": "tiny"})
    data = PairData(PRESETS["tiny"].frame, NothingToRead(recipe.pretraining().text.dim))
    method = METHODS[name].objective(recipe.pretraining(), data, recipe.method, 1)
    config = EncoderConfig(name, method.config.vision, data.frame, identity_of(recipe))
    save_weights(folder / "encoder.safetensors", method.flat_state_dict(), WeightsMetadata(name, config, PROVENANCE))


@pytest.fixture(scope="module")
def scans(tmp_path_factory, coarse_chest):
    """Five scans of four patients; each label is in some and not in others, one in all."""
    folder, made = tmp_path_factory.mktemp("chests"), []
    for number, name in enumerate(NAMES):
        path = folder / f"{name}.nii.gz"
        save_lps(path, (np.roll(coarse_chest, number, axis=2) + 30 * number).astype(np.int16), (4, 4, 4))
        labels = [int((number + place) % 3 == 0) for place in range(18)]
        labels[0] = 1
        split = "train" if name.startswith("train") else "test"
        made.append(LabelledScan(name, "_".join(name.split("_")[:2]), path, split, tuple(labels)))
    return made


def request(scans, tmp_path, **changes):
    data = LabelledSet("CT-RATE", CT_RATE_LABELS, False, tuple(scans))
    chosen = {"unit": "volume", "thresholds_from": 0, "calcification": "max_prob", "readers": 1, **changes}
    return Request(TaskData("ct-rate", tmp_path), data, cache=tmp_path / "cache", **chosen)


def test_every_row_is_written_with_its_figures_and_the_published_ones(weights, scans, tmp_path):
    asked = [Asked(str(weights), prompts, "cpu") for prompts in ("ctclip", "phrases")]
    first, second = zero_shot(asked, request(scans, tmp_path, thresholds_from=1), tmp_path / "out")
    assert (first.prompts, second.prompts, first.tested) == ("ctclip", "phrases", 4)
    assert math.isnan(first.published_way.rows[0].auroc)
    assert first.published_way.counted == 17
    assert first.honest is not None
    assert {row.threshold for row in first.honest.rows} == {0.5}
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "published way, flatters" in page
    assert "| ctclip, as published | 73.1 |" in page
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert document["outcomes"][0]["manifest"]["weights"]["sha256"].keys() == {"grounding.safetensors"}
    assert [entry.value for entry in read_entries(tmp_path / "out")] == pytest.approx(
        [first.published_way.macro.mean, second.published_way.macro.mean]
    )
    assert (tmp_path / "out" / "labels.png").stat().st_size > 10_000


def test_answers_are_those_of_the_method_on_the_scans_frame(weights, scans, tmp_path):
    answers = ask_scans(ScanAsker(weights, "ctclip", "cpu"), scans[:1], tmp_path / "cache")
    trained = load_trained(weights)
    frame = torch.from_numpy(frame_of(scans[0], trained.frame).images_THWD)[:, None]
    with torch.no_grad():
        expected = Asker(trained, prompts_of("ctclip")).probabilities(frame).mean(axis=0)
    assert answers.probabilities_BL[0] == pytest.approx(expected, abs=1e-6)
    assert np.ptp(expected) > 0.01


def test_scans_are_not_asked_again(weights, scans, tmp_path, monkeypatch):
    asker = ScanAsker(weights, "ctclip", "cpu")
    first = ask_scans(asker, scans[:2], tmp_path / "cache")
    monkeypatch.setattr(ScanAsker, "answer", lambda *_: pytest.fail("asked again"))
    again = ask_scans(asker, scans[:2], tmp_path / "cache")
    assert np.array_equal(first.probabilities_BL, again.probabilities_BL)
    with pytest.raises(pytest.fail.Exception):
        ask_scans(ScanAsker(weights, "hlip", "cpu"), scans[:1], tmp_path / "cache")


def test_a_damaged_scan_is_skipped_and_counted(weights, scans, tmp_path):
    bad = tmp_path / "valid_9_a_1.nii.gz"
    bad.write_bytes(scans[0].path.read_bytes()[:4000])
    broken = LabelledScan("valid_9_a_1", "valid_9", bad, "test", scans[0].labels)
    (outcome,) = zero_shot(
        [Asked(str(weights), "ctclip", "cpu")], request([*scans, broken], tmp_path), tmp_path / "out"
    )
    assert [note.name for note in outcome.skipped] == ["valid_9_a_1"]
    assert "Could not be read: 1 (1 unreadable-file): valid_9_a_1." in (tmp_path / "out" / "results.md").read_text(
        "utf-8"
    )


def test_a_study_has_the_mean_of_its_reconstructions(scans):
    found = by_study(Answers(tuple(scans[1:]), np.arange(72.0).reshape(4, 18), ()))
    assert [scan.name for scan in found.scans] == ["valid_1_a_1", "valid_2_a_1", "valid_3_a_1"]
    assert found.probabilities_BL[:, 0].tolist() == [9.0, 36.0, 54.0]


def test_rad_chestcts_labels_are_asked_through_ct_rates(weights, scans, tmp_path):
    theirs = [
        LabelledScan(scan.name, scan.patient, scan.path, "test", (1, *(index % 2,) * 15))
        for index, scan in enumerate(scans)
    ]
    data = LabelledSet("RAD-ChestCT", RAD_CHESTCT_LABELS, False, tuple(theirs))
    where = TaskData("rad-chestct", tmp_path)
    asked = Request(where, data, "volume", 0, "max_prob", tmp_path / "cache", 1)
    (outcome,) = zero_shot([Asked(str(weights), "ctclip", "cpu")], asked, tmp_path / "out")
    assert [row.label for row in outcome.published_way.rows] == list(RAD_CHESTCT_LABELS)
    assert "higher probability of" in outcome.remark


def test_fvlm_asks_organs_and_needs_to_know_where_they_are(scans, tmp_path, coarse_chest):
    exported("fvlm", tmp_path)
    asker = ScanAsker(tmp_path, "ctclip", "cpu")
    assert asker.prompts == "fvlm"
    without = ask_scans(asker, scans[:1], tmp_path / "cache")
    assert [(note.code, "label map" in note.reason) for note in without.skipped] == [("task-not-supported", True)]
    organs = np.zeros(coarse_chest.shape, np.int16)
    organs[coarse_chest < -400] = 10  # TotalSegmentator's upper lobe of the left lung
    save_lps(tmp_path / "organs.nii.gz", organs, (4, 4, 4))
    source = SourceVolume(scans[0].name, scans[0].path, organs=tmp_path / "organs.nii.gz")
    found = ask_scans(asker, [dataclasses.replace(scans[0], source=source)], tmp_path / "cache")
    answers = dict(zip(CT_RATE_LABELS, found.probabilities_BL[0], strict=True))
    assert 0 < answers["Consolidation"] < 1
    assert math.isnan(answers["Hiatal hernia"])
    assert math.isnan(answers["Lymphadenopathy"])


def test_what_cannot_be_asked_is_refused(tmp_path):
    with pytest.raises(UnknownWeights):
        ScanAsker(tmp_path, "ctclip", "cpu")
    exported("mae3d", tmp_path)
    with pytest.raises(TaskNotSupported, match="learned no words"):
        ScanAsker(tmp_path, "ctclip", "cpu")
