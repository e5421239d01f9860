"""From CT-RATE's 18 labels to RAD-ChestCT's 16."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_rate_files import LABELS, CtRateFolder, save_lps
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet
from simcrop_training.evaluate.identity import AnotherRun
from simcrop_training.evaluate.probing.command import Transfer
from simcrop_training.evaluate.probing.scored import Predictions
from simcrop_training.evaluate.probing.tasks import TaskData
from simcrop_training.evaluate.probing.transfer import NoSuchLabel, carried, transfer_target, transferred
from sklearn.metrics import roc_auc_score

from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

# As the released lists have them, but for the spelling of one; written out, not taken from the package.
RAD = [
    "Medical material",
    "Calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
]
ARTERIAL, CORONARY, MOSAIC = 1, 4, 13


def answers(count=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, 18)), rng.integers(0, 2, (count, 16))


def sets():
    scans = [LabelledScan(f"s{n}", f"p{n}", Path("x"), "test" if n else "train", (0,) * 16) for n in range(4)]
    learned = LabelledSet("CT-RATE", tuple(LABELS), False, ())
    return learned, LabelledSet("RAD-ChestCT", tuple(RAD), False, tuple(scans))


def test_every_label_but_calcification_is_its_namesake():
    found, truth = answers()
    moved, words = transferred(found, LABELS, RAD, truth)
    assert moved.shape == (30, 16)
    for place, label in enumerate(RAD):
        if label != "Calcification":
            np.testing.assert_array_equal(moved[:, place], found[:, LABELS.index(label)])
    np.testing.assert_array_equal(moved[:, 1], np.maximum(found[:, ARTERIAL], found[:, CORONARY]))
    assert words == "the higher probability of arterial wall calcification and coronary artery wall calcification"


def test_mosaic_attenuation_has_no_part_in_it():
    found, truth = answers()
    other = found.copy()
    other[:, MOSAIC] = math.nan
    for rule in ("max_prob", "best_auc"):
        np.testing.assert_array_equal(
            transferred(found, LABELS, RAD, truth, rule)[0], transferred(other, LABELS, RAD, truth, rule)[0]
        )


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_better_of_the_two_is_chosen_by_the_test_scans(seed):
    """The released rule: as scikit-learn's areas say, and never worse than either."""
    found, truth = answers(seed=seed)
    moved, words = transferred(found, LABELS, RAD, truth, "best_auc")
    areas = [roc_auc_score(truth[:, 1], found[:, column]) for column in (ARTERIAL, CORONARY)]
    assert roc_auc_score(truth[:, 1], moved[:, 1]) == pytest.approx(max(areas))
    assert words.startswith("coronary" if areas[1] > areas[0] else "arterial")


def test_only_the_flattering_rule_looks_at_the_truth():
    found, truth = answers()
    one, other = (transferred(found, LABELS, RAD, of, "max_prob")[0] for of in (truth, 1 - truth))
    np.testing.assert_array_equal(one, other)
    flattered = [transferred(found, LABELS, RAD, of, "best_auc")[1] for of in (truth, 1 - truth)]
    assert flattered[0] != flattered[1]


def test_a_calcification_that_was_not_learned_leaves_the_other():
    found, truth = answers()
    found[:, ARTERIAL] = math.nan
    np.testing.assert_array_equal(transferred(found, LABELS, RAD, truth)[0][:, 1], found[:, CORONARY])
    assert transferred(found, LABELS, RAD, truth, "best_auc")[1].startswith("coronary")
    found[:, CORONARY] = math.nan
    assert np.isnan(transferred(found, LABELS, RAD, truth)[0][:, 1]).all()


def test_test_scans_that_all_have_calcification_do_not_stop_the_flattering_rule():
    found, truth = answers()
    truth[:, 1] = 1
    assert transferred(found, LABELS, RAD, truth, "best_auc")[0].shape == (30, 16)


def test_a_label_without_counterpart_is_refused():
    with pytest.raises(NoSuchLabel, match="Fracture"):
        transferred(np.zeros((2, 18)), LABELS, [*RAD, "Fracture"], np.zeros((2, 17), int))
    with pytest.raises(NoSuchLabel, match="coronary"):
        transferred(np.zeros((2, 1)), ["Arterial wall calcification"], ["Calcification"], np.zeros((2, 1), int))


def test_it_is_asked_about_the_test_scans_or_all_and_says_so():
    learned, other = sets()
    where, onto = TaskData("ct-rate", Path("a"), 10), TaskData("rad-chestct", Path("b"))
    target = transfer_target(where, learned, onto, other, "max_prob", whole=False)
    assert [scan.name for scan in target.tested] == ["s1", "s2", "s3"]
    assert target.column == "ct-rate 10 % → rad-chestct"
    assert target.remarks[-1] == "Learned, and not asked about: Mosaic attenuation pattern."
    assert len(transfer_target(where, learned, onto, other, "max_prob", whole=True).tested) == 4
    found, truth = answers(3)
    moved, _ = target.translated(Predictions(("a", "b", "c"), ("a", "b", "c"), found, truth))
    assert (moved.names, moved.probabilities_BL.shape) == (("a", "b", "c"), (3, 16))


def test_thresholds_go_with_their_labels_and_calcification_needs_two_that_agree():
    own = [n / 100 for n in range(18)]
    moved = carried(own, LABELS, RAD)
    assert math.isnan(moved[1])
    assert [moved[place] for place in (0, 2, 15)] == [0.0, 0.02, 0.17]
    assert carried([0.5] * 18, LABELS, RAD) == (0.5,) * 16


# A column of each abnormality that the labels are made of.
COLUMNS = """breast_implant catheter_or_port chest_tube clip distention gi_tube hardware staple stent suture
tracheal_tube transplant calcification cardiomegaly pericardial_effusion hernia lymphadenopathy emphysema atelectasis
nodule opacity fibrosis pleural_effusion bronchial_wall_thickening consolidation bronchiectasis
septal_thickening""".split()  # noqa: SIM905
SHAPE = (40, 36, 24)


def picture(number, *, calcified):
    """Noise with air in it; in half of a calcified one, what is no air is denser."""
    voxels = np.random.default_rng(number).integers(-1000, 500, SHAPE).astype(np.int16)
    denser = voxels > -500
    denser[:, 18:] = False
    voxels[denser & calcified] += 400
    return voxels


@pytest.fixture
def ct_rate(tmp_path):
    made = CtRateFolder(tmp_path / "ct-rate")
    for number in range(14):
        name, label = f"{'train' if number < 10 else 'valid'}_{number}_a_1", LABELS[(ARTERIAL, 0)[number % 2]]
        path = made.scan(name, labels=(label,), XYSpacing="[0.8, 0.8]", ZSpacing="0.8")
        save_lps(path, picture(number, calcified=number % 2 == 0), (0.8, 0.8, 0.8))
    return made.write()


@pytest.fixture
def rad_chestct(tmp_path):
    folder = tmp_path / "rad"
    folder.mkdir()
    rows = []
    for number in range(8):
        voxels = picture(50 + number, calcified=number % 2 == 0)
        np.savez(folder / f"tst{number}.npz", ct=voxels[::-1, ::-1, ::-1].T)
        rows.append(f"tst{number}," + ",".join(str(int(c == "calcification" and number % 2 == 0)) for c in COLUMNS))
    header = "NoteAcc_DEID," + ",".join(f"{column}*other_location" for column in COLUMNS)
    (folder / "imgtest_Abnormality_and_Location_Labels.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "imgtrain_Abnormality_and_Location_Labels.csv").write_text(header + "\n")
    return folder


def test_the_command_from_two_sets_to_page(ct_rate, rad_chestct, tmp_path):
    """Calcification is in the pictures and is found; labels that no test scan has are reported without area."""
    torch.manual_seed(0)
    tiny = PRESETS["tiny"]
    metadata = WeightsMetadata(
        "toy", EncoderConfig("mae3d", tiny.vision, replace(tiny.frame, placement="volume", spacing_mm=(1, 1, 1.2))),
        Provenance("Apache-2.0", "nothing", True),
    )  # fmt: skip
    save_weights(tmp_path / "toy/encoder.safetensors", VisionTransformer(tiny.vision).state_dict(), metadata)
    asked = Transfer(
        data=ct_rate, onto=rad_chestct, output=tmp_path / "out", weights=(str(tmp_path / "toy"),), preset="clean",
        device="cpu",
    )  # fmt: skip
    asked.run()
    (outcome,) = json.loads((tmp_path / "out/results.json").read_text())["outcomes"]
    rows = {row["label"]: row for row in outcome["rows"]}
    assert (list(rows), outcome["counted"]) == (RAD, 1)
    assert (rows["Calcification"]["n_pos"], rows["Calcification"]["auroc"]) == (4, 1.0)
    assert (rows["Emphysema"]["n_neg"], rows["Emphysema"]["auroc"]) == (8, None)
    page = (tmp_path / "out/results.md").read_text()
    assert "| mae3d | 1.000 (1.000–1.000, 1 of 16 labels) |" in page
    assert "calcification is the higher probability of arterial" in page
    with pytest.raises(AnotherRun, match="calcification was max_prob, is now best_auc"):
        replace(asked, calcification="best_auc").run()
