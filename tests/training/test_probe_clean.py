"""The clean probe: patients apart, unknown labels, one look at the test scans, and figures as scikit-learn has them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.identity import AnotherRun
from simcrop_training.evaluate.origin import Origin
from simcrop_training.evaluate.probing.clean import CleanSettings, fit_clean, set_apart
from simcrop_training.evaluate.probing.command import Probe
from simcrop_training.evaluate.probing.outcome import Outcome, left_out, measured, side_by_side
from simcrop_training.evaluate.probing.scored import Predictions, listed, predicted_once, require_protocol, score
from simcrop_training.evaluate.summary import read_entries
from sklearn.metrics import accuracy_score, roc_auc_score

from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

SETTINGS = CleanSettings(strengths=(1e-3, 1e-1, 1.0))


def toy(count=80, width=6, seed=0):
    """Features of which the first tells label 0 and the second, with noise, label 1; two scans a patient."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    truth = np.stack([features[:, 0] > 0, features[:, 1] + rng.normal(size=count) > 0], axis=1).astype(np.int64)
    return features, truth, [f"p{n // 2}" for n in range(count)]


def predictions(probabilities, truth):
    names = tuple(map(str, range(len(truth))))
    return Predictions(names, names, np.asarray(probabilities, dtype=np.float64), np.asarray(truth))


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_score_is_scikit_learns(seed, count, labels):
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 6, (count, labels)) / 5  # with ties
    truth = rng.integers(-1, 2, (count, labels))
    areas = []
    for scores, there in zip(answers.T, truth.T, strict=True):
        known = there >= 0
        if len(set(there[known].tolist())) == 2:
            areas.append(roc_auc_score(there[known], scores[known]))
    expected = np.mean(areas) if areas else math.nan
    np.testing.assert_allclose(score(answers, truth, classes=False), expected, rtol=1e-12)
    of = rng.integers(0, labels, (count, 1))
    accuracy = accuracy_score(of[:, 0], answers.argmax(axis=1))
    assert score(answers, of, classes=True) == pytest.approx(accuracy)


def test_figures_of_classes_are_accuracy_and_each_class_against_the_others():
    rng = np.random.default_rng(3)
    answers, truth = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, (50, 1))
    metric, value, counted, rows = measured(predictions(answers, truth), ("a", "b", "c"), classes=True, rounds=50)
    assert (metric, counted) == ("accuracy", 50)
    assert value.mean == pytest.approx(accuracy_score(truth[:, 0], answers.argmax(axis=1)))
    assert value.lo < value.mean < value.hi
    for place, row in enumerate(rows):
        assert row.auroc == pytest.approx(roc_auc_score(truth[:, 0] == place, answers[:, place]))


def test_a_label_of_one_kind_has_a_row_without_area():
    truth = np.stack([np.arange(20) % 2, np.ones(20, int)], axis=1)
    answers = np.random.default_rng(0).random((20, 2))
    metric, value, counted, rows = measured(predictions(answers, truth), ("both", "one"), classes=False, rounds=20)
    assert (metric, counted, rows[1].n_pos, rows[1].n_neg) == ("AUROC", 1, 20, 0)
    assert math.isnan(rows[1].auroc)
    assert value.mean == pytest.approx(roc_auc_score(truth[:, 0], answers[:, 0]))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.floats(0.01, 0.99), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_patient_is_on_both_sides(numbers, share, seed):
    patients = [f"p{number}" for number in numbers]
    apart = set_apart(patients, share, seed)
    there = {p for p, out in zip(patients, apart, strict=True) if out}
    here = {p for p, out in zip(patients, apart, strict=True) if not out}
    assert not there & here
    assert here
    assert bool(there) is (len(set(patients)) > 1)


def test_it_finds_what_is_in_the_features():
    features, truth, patients = toy()
    probe = fit_clean(features, truth, patients, classes=None, settings=SETTINGS, seed=0)
    fresh, wanted, _ = toy(seed=1)
    answers = probe.predict(fresh)
    assert roc_auc_score(wanted[:, 0], answers[:, 0]) > 0.98
    assert 0.7 < roc_auc_score(wanted[:, 1], answers[:, 1]) < 0.95
    assert ((answers >= 0) & (answers <= 1)).all()
    assert probe.validation[probe.strength] == max(probe.validation.values())
    called = answers[:, 0] >= probe.thresholds[0]
    assert (called == wanted[:, 0]).mean() > 0.9


def test_units_of_features_do_not_matter():
    features, truth, patients = toy()
    scaled = features * np.array([1e3, 1e-3, 1, 1, 7, 1]) + 5
    one, other = (
        fit_clean(rows, truth, patients, classes=None, settings=SETTINGS, seed=0).predict(rows)
        for rows in (features, scaled)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_unknown_labels_are_left_out_label_by_label():
    """Where label 0 is unknown the features mislead: had they been used, it would be learned the wrong way round."""
    features, truth, patients = toy()
    hidden = np.arange(80) % 4 < 2
    misleading = features.copy()
    misleading[hidden, 0] *= -20
    unknown = truth.copy()
    unknown[hidden, 0] = -1
    probe = fit_clean(misleading, unknown, patients, classes=None, settings=SETTINGS, seed=0)
    alone = fit_clean(
        features[~hidden], truth[~hidden], [p for p, h in zip(patients, hidden, strict=True) if not h],
        classes=None, settings=SETTINGS, seed=0,
    )  # fmt: skip
    fresh, wanted, _ = toy(seed=1)
    assert roc_auc_score(wanted[:, 0], probe.predict(fresh)[:, 0]) > 0.95
    assert alone.predict(fresh).shape == (80, 2)


def test_labels_that_all_have_or_none_are_not_learned_and_do_not_stop_it():
    features, truth, patients = toy()
    truth = np.column_stack([truth, np.ones(80, int), np.full(80, -1)])
    probe = fit_clean(features, truth, patients, classes=None, settings=SETTINGS, seed=0)
    answers = probe.predict(features)
    assert np.isfinite(answers[:, :2]).all()
    assert np.isnan(answers[:, 2:]).all()
    assert np.isnan(probe.thresholds[2:]).all()


def test_one_patient_alone_chooses_the_middle():
    features, truth, _ = toy()
    probe = fit_clean(features, truth, ["p"] * 80, classes=None, settings=SETTINGS, seed=0)
    assert probe.strength == 1e-1
    assert all(math.isnan(value) for value in probe.validation.values())


def test_classes_have_probabilities_that_add_up_to_one_even_if_one_was_never_seen():
    features, truth, patients = toy()
    of = (truth[:, :1] * 2).astype(np.int64)  # classes 0 and 2 of 3
    probe = fit_clean(features, of, patients, classes=3, settings=SETTINGS, seed=0)
    answers = probe.predict(features)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert not answers[:, 1].any()
    assert score(answers, of, classes=True) > 0.95
    alike = fit_clean(features, of * 0, patients, classes=3, settings=SETTINGS, seed=0)
    assert np.isnan(alike.predict(features)).all()


def test_test_scans_are_looked_at_once(tmp_path):
    looks = []

    def look():
        looks.append(1)
        return replace(predictions([[0.25], [math.nan]], [[1], [-1]]), skipped=(LeftOut("c", "no-file", "Gone."),))

    protocol = {"preset": "clean", "seed": 1, "settings": {"strengths": (0.1, 1.0)}}
    first = predicted_once(tmp_path, protocol, look)
    again = predicted_once(tmp_path, protocol, look)
    assert len(looks) == 1
    assert (again.names, again.patients, again.skipped) == (first.names, first.patients, first.skipped)
    np.testing.assert_array_equal(again.probabilities_BL, first.probabilities_BL)
    np.testing.assert_array_equal(again.truth_BL, first.truth_BL)


def test_another_protocol_is_refused_even_if_its_description_is_removed(tmp_path):
    predicted_once(tmp_path, {"seed": 1}, lambda: predictions([[0.5]], [[1]]))
    with pytest.raises(AnotherRun, match="seed was 1, is now 2"):
        require_protocol(tmp_path, {"seed": 2})
    (tmp_path / "protocol.json").unlink()
    with pytest.raises(AnotherRun, match="another protocol"):
        predicted_once(tmp_path, {"seed": 2}, lambda: pytest.fail("a second look"))


def test_a_look_that_was_cut_short_may_be_taken_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        predicted_once(tmp_path, {"seed": 1}, lambda: 1 / 0)
    assert predicted_once(tmp_path, {"seed": 1}, lambda: predictions([[0.5]], [[1]])).names == ("0",)


def test_lists_differ_by_name_patient_label_and_order():
    scans = [LabelledScan(str(n), "p", Path("x"), "train", (n % 2,)) for n in range(3)]
    same = [replace(scan, path=Path("elsewhere")) for scan in scans]
    others = [
        scans[:2],
        scans[::-1],
        [*scans[:2], replace(scans[2], labels=(1,))],
        [*scans[:2], replace(scans[2], patient="q")],
    ]
    assert listed(scans) == listed(same)
    assert listed(scans).startswith("3 scans (")
    assert len({listed(scans), *map(listed, others)}) == 5


def test_tables_say_over_how_many_seeds_and_labels():
    _, value, counted, rows = measured(
        predictions([[0.1], [0.9], [0.8]], [[0], [1], [0]]), ("Nodule",), classes=False, rounds=10
    )
    one = Outcome("simcrop", "clean", 0, "AUROC", value, counted, rows, 3, {}, (), Origin("simcrop", "short", "a"))
    untrained = replace(one, preset="official", model="random_zero_pos", origin=Origin("random_zero_pos"))
    page = side_by_side([one, replace(one, seed=1), untrained])
    assert "| simcrop | 1.000 ± 0.000 (2 seeds, 1 of 1 labels) | – |" in page
    assert "| random_zero_pos | – | 1.000 (" in page
    other = replace(one, origin=Origin("simcrop", "long", "b"))
    apart = side_by_side([one, replace(one, seed=1), other])
    assert "| simcrop (short) | 1.000 ± 0.000 (2 seeds, 1 of 1 labels) |" in apart
    assert "| simcrop (long) | 1.000 (" in apart
    assert "seeds" not in apart.split("simcrop (long)")[1]
    notes = [LeftOut(str(n), "no-file", "") for n in range(12)]
    assert left_out(notes) == "12 (12 no-file): 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


@pytest.fixture
def luna16(tmp_path, coarse_chest):
    """Fourteen chests, every second with a bright block and an annotated nodule; the last is cut short."""
    folder = tmp_path / "luna"
    (folder / "images").mkdir(parents=True)
    lines = ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
    for number in range(14):
        voxels = coarse_chest[:, :, 20:64].copy()
        voxels[:, :, (number * 3) % 20] += 15
        if number % 2:
            voxels[20:80, 20:50, 10:30] = 300
            lines.append(f"1.2.{number},0,0,0,8.5")
        nib.Nifti1Image(voxels, np.diag([4.0, 4.0, 4.0, 1.0])).to_filename(folder / f"images/1.2.{number}.nii.gz")
    cut = folder / "images/1.2.12.nii.gz"
    cut.write_bytes(cut.read_bytes()[:2000])
    (folder / "annotations.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    frame = replace(PRESETS["tiny"].frame, placement="volume")
    encoder = VisionTransformer(PRESETS["tiny"].vision)
    metadata = WeightsMetadata(
        "toy", EncoderConfig("random", PRESETS["tiny"].vision, frame), Provenance("Apache-2.0", "nothing", True)
    )
    save_weights(tmp_path / "toy/encoder.safetensors", encoder.state_dict(), metadata)
    return str(tmp_path / "toy")


def test_the_command_from_files_to_page(luna16, weights, tmp_path):
    """Both presets beside each other, a damaged scan counted, the same command again without a second look."""
    asked = Probe(
        task="luna16", data=luna16, output=tmp_path / "out", weights=(weights,), share=100, steps=4, device="cpu",
        seeds=(0, 1),
    )  # fmt: skip
    asked.run()
    page = (tmp_path / "out/results.md").read_text()
    assert "| random |" in page
    assert "| random_zero_pos |" in page
    assert "1 unreadable-file): 1.2.12" in page
    assert "**official.**" in page
    assert "**clean.**" in page
    document = json.loads((tmp_path / "out/results.json").read_text())
    assert [(o["preset"], o["seed"]) for o in document["outcomes"]] == [
        ("official", 0),
        ("official", 1),
        ("clean", 0),
        ("clean", 1),
    ]
    assert all(o["manifest"]["weights"]["sha256"] for o in document["outcomes"])
    assert [entry.column for entry in read_entries(tmp_path / "out")] == ["luna16 100 %"] * 4
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("predictions.npz")}
    assert len(before) == 4
    asked.run()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((tmp_path / "out/results.json").read_text())["entries"] == document["entries"]
    with pytest.raises(AnotherRun, match=r"settings\.steps was 4, is now 5"):
        replace(asked, steps=5).run()
