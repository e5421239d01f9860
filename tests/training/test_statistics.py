"""Areas, intervals and comparisons, against scikit-learn, plain loops and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.evaluate.statistics import (
    bootstrap_mean,
    compare_aurocs,
    compare_means,
    corner,
    drawn,
    label_rows,
    weighted_aurocs,
)
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.booleans())
def test_the_area_of_a_draw_is_that_of_scikit_learn_on_the_scans_drawn(seed: int, scans: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, scans) / 4 if tied else rng.random(scans)
    there = rng.random(scans) < 0.5
    weights = rng.integers(0, 4, (6, scans))
    ours = weighted_aurocs(scores, there, weights)
    for area, times in zip(ours, weights, strict=True):
        chosen = np.repeat(np.arange(scans), times)
        if len(set(there[chosen])) < 2:
            assert math.isnan(area)
        else:
            assert area == pytest.approx(roc_auc_score(there[chosen], scores[chosen]), abs=1e-12)


def test_rows_have_scikit_learns_figures_at_the_corner_of_the_curve() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (200, 3))
    scores = np.clip(0.25 * truth + rng.random((200, 3)) * 0.75, 0, 1)
    table = label_rows(["a", "b", "c"], scores, truth, [str(i) for i in range(200)], rounds=50)
    for index, row in enumerate(table.rows):
        called, there = scores[:, index] >= row.threshold, truth[:, index] == 1
        assert row.auroc == pytest.approx(roc_auc_score(there, scores[:, index]))
        assert row.f1 == pytest.approx(f1_score(there, called, average="weighted"))
        assert row.prec == pytest.approx(precision_score(there, called))
        assert (row.sens, row.spec) == pytest.approx((recall_score(there, called), recall_score(~there, ~called)))
        assert row.acc == pytest.approx((there == called).mean())
        assert row.lo95 < row.auroc < row.hi95
    assert table.macro.mean == pytest.approx(np.mean([row.auroc for row in table.rows]))


def test_the_corner_is_the_nearest_of_all_candidates() -> None:
    rng = np.random.default_rng(1)
    scores, there = rng.random(80), rng.random(80) < 0.3
    distances = [math.hypot((scores[~there] >= t).mean(), (scores[there] < t).mean()) for t in np.linspace(0, 1, 100)]
    assert corner(scores, there) == pytest.approx(np.linspace(0, 1, 100)[int(np.argmin(distances))])


def test_a_label_with_one_class_or_unknown_scans_ends_in_no_number_and_no_error() -> None:
    scores = np.array([[0.9, 0.2, 0.1], [0.1, 0.3, np.nan], [0.8, 0.4, 0.6], [0.3, 0.1, 0.4]])
    truth = np.array([[1, 1, 1], [0, 1, 0], [1, 1, 0], [-1, 1, 1]])
    table = label_rows(["known", "everywhere", "scoreless once"], scores, truth, list("abcd"), rounds=20)
    known, everywhere, scoreless = table.rows
    assert (known.n_pos, known.n_neg, known.auroc) == (2, 1, 1.0)
    assert (everywhere.n_pos, everywhere.n_neg) == (4, 0)
    assert math.isnan(everywhere.auroc)
    assert math.isnan(everywhere.f1)
    assert (scoreless.n_pos, scoreless.n_neg, scoreless.auroc) == (2, 1, 0.0)
    assert table.counted == 2
    assert table.macro.mean == 0.5


def test_a_patient_is_drawn_with_all_scans_or_with_none() -> None:
    weights = drawn(["a", "b", "a", "c", "b", "a"], 200, 0)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 5]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_repeating_scans_of_a_patient_does_not_make_an_interval_narrower() -> None:
    values = np.random.default_rng(2).random(30)
    one = bootstrap_mean(values, [str(i) for i in range(30)])
    many = bootstrap_mean(np.repeat(values, 9), [str(i // 9) for i in range(270)])
    assert many.mean == pytest.approx(one.mean)
    assert many.hi - many.lo == pytest.approx(one.hi - one.lo, rel=1e-9)
    assert one.lo < one.mean < one.hi


def test_the_interval_of_a_mean_is_that_of_the_normal_law_when_there_are_many() -> None:
    values = np.random.default_rng(3).normal(2.0, 1.0, 400)
    interval = bootstrap_mean(values, [str(i) for i in range(400)], rounds=4000)
    half = 1.96 * values.std(ddof=1) / 20
    assert (interval.hi - interval.lo) / 2 == pytest.approx(half, rel=0.06)


def test_a_better_model_is_told_from_a_worse_one_and_from_itself() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, (300, 2))
    patients = [str(i // 2) for i in range(300)]
    good, bad = truth + rng.normal(0, 1, (300, 2)), truth + rng.normal(0, 4, (300, 2))
    better = compare_aurocs(good, bad, truth, patients)
    assert better.by.lo > 0
    assert better.p < 0.01
    same = compare_aurocs(good, good, truth, patients)
    assert (same.by.mean, same.p) == (0.0, 1.0)
    assert compare_means(good[:, 0], good[:, 0] - 1, patients).by.mean == pytest.approx(1)


def test_two_equal_models_differ_by_chance_as_often_as_p_says() -> None:
    rng = np.random.default_rng(5)
    small = 0
    for _ in range(200):
        first, second = rng.normal(0, 1, (2, 40))
        small += compare_means(first, second, [str(i) for i in range(40)], rounds=200).p < 0.1
    assert 8 <= small <= 36


def test_nothing_to_measure_is_no_number() -> None:
    assert math.isnan(bootstrap_mean(np.array([np.nan]), ["a"]).mean)
    assert math.isnan(compare_means(np.array([np.nan]), np.array([1.0]), ["a"]).p)
    with pytest.raises(ValueError, match="truths"):
        label_rows(["a"], np.zeros((2, 1)), np.zeros((3, 1), dtype=int), ["x", "y"])
