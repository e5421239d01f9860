"""Models against each other: on the scans that both saw, with the figures that statistics give."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from simcrop_training.evaluate.paired import Answered, every_pair, paired, pairs_table
from simcrop_training.evaluate.probing.scored import Predictions
from simcrop_training.evaluate.statistics import LabelRow, compare_aurocs
from simcrop_training.evaluate.written import write_labels
from sklearn.metrics import roc_auc_score

TRUTH = np.random.default_rng(0).integers(0, 2, (60, 2))
NAMES = tuple(f"scan{n}" for n in range(60))
PATIENTS = tuple(f"p{n // 2}" for n in range(60))


def model(name, noise, seed, keep=slice(None)):
    answers = TRUTH + np.random.default_rng(seed).normal(0, noise, TRUTH.shape)
    return Answered(name, Predictions(NAMES[keep], PATIENTS[keep], answers[keep], TRUTH[keep]))


def test_a_better_model_is_told_from_a_worse_one_by_the_scans_that_both_saw():
    better, worse = model("better", 0.3, 1, slice(None, 50)), model("worse", 2.0, 2, slice(None, None, -1))
    pair = paired(better, worse, 2, rounds=200)
    ours, theirs = better.answers.probabilities_BL, worse.answers.probabilities_BL[::-1][:50]
    assert pair.scans == 50
    areas = [np.mean([roc_auc_score(TRUTH[:50, n], its[:, n]) for n in range(2)]) for its in (ours, theirs)]
    assert pair.less.by.mean == pytest.approx(areas[0] - areas[1])
    assert pair.less.by.lo > 0
    assert pair.less.p == pytest.approx(2 / 201)
    assert pair.less == compare_aurocs(ours, theirs, TRUTH[:50], PATIENTS[:50], rounds=200)


def test_classes_are_compared_by_accuracy():
    classes = np.arange(60)[:, None] % 3
    right, half = np.eye(3)[classes[:, 0]], np.eye(3)[np.where(np.arange(60) < 30, classes[:, 0], 0)]
    one, other = (Answered(n, Predictions(NAMES, PATIENTS, its, classes)) for n, its in (("one", right), ("two", half)))
    pair = paired(one, other, 3, classes=True, rounds=50)
    assert pair.less.by.mean == pytest.approx(1 - (30 + 10) / 60)


def test_every_two_are_compared_once_and_only_the_first_seed_of_each():
    models = [model("a", 1, 1), model("b", 1, 2), model("a", 9, 3), model("c", 1, 4)]
    pairs = every_pair(models, 2, rounds=20)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs[0].less == paired(models[0], models[1], 2, rounds=20).less
    text = "\n".join(pairs_table(pairs, "AUROC"))
    assert "| b | c | " in text
    assert "not corrected for many pairs" in text
    assert pairs_table([], "AUROC") == []


def test_a_table_of_labels_is_read_back_and_what_there_is_not_is_empty(tmp_path):
    row = LabelRow("Emphysema, mild", 3, 4, 0.75, 0.5, 0.9, math.nan, 0.5, 0.5, 0.5, 0.5, 0.5)
    write_labels(
        tmp_path / "labels.csv", [({"model": "mrm", "seed": 1}, [row, row]), ({"model": "b", "seed": 2}, [row])]
    )
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["model"], r["seed"], r["label"], r["auroc"], r["f1"]) for r in rows] == [
        ("mrm", "1", "Emphysema, mild", "0.75", ""), ("mrm", "1", "Emphysema, mild", "0.75", ""),
        ("b", "2", "Emphysema, mild", "0.75", ""),
    ]  # fmt: skip
