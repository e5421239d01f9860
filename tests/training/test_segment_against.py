"""Two segmentation models on the same scans: the difference is taken scan by scan, on labels that both have."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from simcrop_training.evaluate.segmenting.against import pairs_with
from simcrop_training.evaluate.segmenting.metrics import ClassScore
from simcrop_training.evaluate.segmenting.presets import protocol_of
from simcrop_training.evaluate.segmenting.score import ScanScores, Scored, as_plain, read_scores

from simcrop_core.errors import UnreadableFile

CLEAN = protocol_of("clean", None)
LABELS = ("background", "left lung", "liver")


def scored(dice_by_scan, labels=LABELS):
    """Scans of as many patients; the Dice of each label but the background, NaN where the truth has none."""
    scans = []
    for name, dice in dice_by_scan.items():
        classes = tuple(ClassScore(value, math.nan, math.nan, 1.0, 1.0) for value in (1.0, *dice))
        scans.append(ScanScores(name, f"patient of {name}", classes))
    return Scored(labels, tuple(scans), ())


def written(folder, found, model="simcrop"):
    (folder / "scans" / "clean").mkdir(parents=True)
    for scan in found.scans:
        document = {"key": "k", "labels": list(found.labels), **as_plain(scan)}
        (folder / "scans" / "clean" / f"{scan.name}.json").write_text(json.dumps(document))
    entries = [{"protocol": "official", "model": "wrong"}, {"protocol": "clean", "model": model}]
    (folder / "results.json").write_text(json.dumps({"entries": entries}))
    return folder


def test_what_is_read_again_is_what_was_scored(tmp_path):
    found = scored({"one": (0.5, math.nan), "two": (0.7, 0.9)})
    assert repr(read_scores(written(tmp_path / "out", found), CLEAN)) == repr(found)


def test_the_difference_is_of_the_same_scans_and_labels(tmp_path):
    """By hand: on one 0.6 against 0.4, on two, which has no liver, 0.9 against 0.6; three is of the first alone."""
    ours = scored({"one": (0.5, 0.7), "two": (0.9, math.nan), "three": (0.1, 0.1)})
    labels = ("background", "liver", "left lung", "heart")
    theirs = scored({"two": (math.nan, 0.6, 0.2), "one": (0.4, 0.4, 0.2)}, labels)
    (pair,) = pairs_with("ours", ours, [written(tmp_path / "out", theirs)], CLEAN)
    assert (pair.first, pair.second, pair.scans) == ("ours", "simcrop", 2)
    assert pair.less.by.mean == pytest.approx((0.2 + 0.3) / 2)


def test_a_model_against_itself_differs_by_nothing_and_a_better_one_is_seen(tmp_path):
    rng = np.random.default_rng(0)
    worse = {f"scan{n}": tuple(rng.uniform(0.3, 0.6, 2)) for n in range(30)}
    better = {name: tuple(d + rng.uniform(0.05, 0.15) for d in dice) for name, dice in worse.items()}
    folder = written(tmp_path / "worse", scored(worse))
    (same,) = pairs_with("same", scored(worse), [folder], CLEAN)
    (gain,) = pairs_with("better", scored(better), [folder], CLEAN)
    assert same.less.by.mean == 0
    assert 0.05 < gain.less.by.lo < gain.less.by.mean < gain.less.by.hi < 0.15
    assert gain.less.p < 0.01


def test_weights_of_one_name_are_told_apart_by_their_folders(tmp_path):
    found = scored({"one": (0.5, 0.7), "two": (0.9, 0.8)})
    folders = [written(tmp_path / name, found) for name in ("first", "second")]
    assert [pair.second for pair in pairs_with("x", found, folders, CLEAN)] == ["simcrop (first)", "simcrop (second)"]


def test_a_folder_without_results_or_with_damaged_ones_is_named(tmp_path):
    found = scored({"one": (0.5, 0.7)})
    with pytest.raises(UnreadableFile, match="holds no results"):
        pairs_with("x", found, [tmp_path], CLEAN)
    folder = written(tmp_path / "out", found)
    with pytest.raises(UnreadableFile, match="holds no results"):
        pairs_with("x", found, [folder], protocol_of("official", None))
    (folder / "scans" / "clean" / "one.json").write_text('{"labels": ')
    with pytest.raises(UnreadableFile, match="damaged"):
        pairs_with("x", found, [folder], CLEAN)
