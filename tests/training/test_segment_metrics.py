"""Dice, surface Dice and distances: MONAI's, and what a few lines written again say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.meandice import DiceHelper
from scipy import ndimage
from scipy.spatial.distance import cdist
from simcrop_training.evaluate.segmenting.metrics import class_scores, mean_dice, surface_scores

CLASSES = 4


def label_maps(seed, shape=(9, 8, 7)):
    """Blobs: noise made smooth, cut into classes; some classes are often absent from one map or both."""
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(2):
        smooth = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 2))
        levels = np.sort(rng.uniform(smooth.min() - 0.1, smooth.max() + 0.1, CLASSES - 1))
        maps.append(np.digitize(smooth, levels).astype(np.uint8))
    return maps


def written_again(found, truth, spacing):
    """Surface Dice at 2 mm and 95 % Hausdorff distance from all pairs of surface voxels."""
    edges = [np.argwhere(m & ~ndimage.binary_erosion(m)) * np.asarray(spacing) for m in (found, truth)]
    between = cdist(*edges)
    to_truth, to_found = between.min(axis=1), between.min(axis=0)
    within = ((to_truth <= 2).sum() + (to_found <= 2).sum()) / (len(to_truth) + len(to_found))
    return within, max(np.percentile(to_truth, 95), np.percentile(to_found, 95))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_dice_is_monais(seed):
    found, truth = label_maps(seed)
    scores = class_scores(found, truth, CLASSES, (1, 1, 1), surfaces=False)
    helper = DiceHelper(include_background=True, num_classes=CLASSES, reduction="none", get_not_nans=False)
    expected = helper(torch.from_numpy(found)[None, None].long(), torch.from_numpy(truth)[None, None].long())
    np.testing.assert_allclose([s.dice for s in scores], np.asarray(expected)[0], rtol=1e-6)
    for index, score in enumerate(scores):
        a, b = found == index, truth == index
        again = 2 * (a & b).sum() / (a.sum() + b.sum()) if b.any() else math.nan
        assert score.dice == pytest.approx(again, nan_ok=True)
        assert score.missed == (b.any() and not a.any())
        assert score.invented == (a.any() and not b.any())


@given(seed=st.integers(0, 2**32 - 1), spacing=st.tuples(*(st.sampled_from([0.7, 1.0, 1.5, 3.0]) for _ in range(3))))
@settings(max_examples=25, deadline=None)
def test_surfaces_are_what_all_pairs_of_voxels_say(seed, spacing):
    found, truth = (labels == 2 for labels in label_maps(seed))
    if not found.any() or not truth.any():
        return
    # Air around: what touches the edge of a scan has its surface there, which the few lines above do not see.
    found, truth = np.pad(found, 2), np.pad(truth, 2)
    within, distance = surface_scores(found, truth, spacing)
    expected_within, expected_distance = written_again(found, truth, spacing)
    assert within == pytest.approx(expected_within, abs=1e-5)
    assert distance == pytest.approx(expected_distance, abs=1e-4)


def test_cutting_a_box_out_first_changes_no_surface():
    found, truth = np.zeros((2, 40, 40, 30), bool)
    found[20:26, 10:16, 8:14] = truth[21:27, 10:17, 8:13] = True
    near = np.s_[15:35, 5:25, 4:20]
    assert surface_scores(found, truth, (1, 1, 2)) == surface_scores(found[near], truth[near], (1, 1, 2))


def test_a_class_of_one_voxel_three_millimetres_off():
    found, truth = np.zeros((2, 8, 8, 8), np.uint8)
    found[2, 4, 4], truth[5, 4, 4] = 1, 1
    score = class_scores(found, truth, 2, (1.0, 1.0, 1.0))[1]
    assert (score.dice, score.surface_dice, score.hd95_mm) == (0.0, 0.0, 3.0)
    assert score.true_ml == pytest.approx(0.001)


def test_absent_missed_and_invented_classes():
    found, truth = np.zeros((2, 6, 6, 6), np.uint8)
    truth[1:3, 1:3, 1:3] = 1  # missed
    found[4:, 4:, 4:] = 2  # invented
    background, missed, invented, absent = class_scores(found, truth, 4, (10.0, 10.0, 10.0))
    assert background.dice < 1
    assert (missed.dice, missed.surface_dice, missed.missed, missed.invented) == (0.0, 0.0, True, False)
    assert math.isnan(missed.hd95_mm)
    assert math.isnan(invented.dice)
    assert (invented.invented, invented.found_ml) == (True, 8.0)
    assert math.isnan(absent.dice)
    assert not absent.invented
    scores = (background, missed, invented, absent)
    assert mean_dice(scores, background=False) == 0.0
    assert mean_dice(scores, background=True) == pytest.approx(background.dice / 2)


def test_nothing_labelled_has_no_mean():
    nothing = np.zeros((4, 4, 4), np.uint8)
    scores = class_scores(nothing, nothing, 3, (1, 1, 1))
    assert math.isnan(mean_dice(scores, background=False))
    assert mean_dice(scores, background=True) == 1.0
    with pytest.raises(ValueError, match="voxels were labelled"):
        class_scores(nothing, nothing[:2], 3, (1, 1, 1))
