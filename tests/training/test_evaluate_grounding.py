"""Measures of grounding on cases small enough to work out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from simcrop_training.evaluate.cases import Case, covered
from simcrop_training.evaluate.grounding import auroc, findings_auroc, grounding_rows, silence

from simcrop_core.inference.features import PatchFeatures
from simcrop_core.phantom.truth import Person, Phantom, PhantomReport, Statement
from simcrop_core.results import SentenceResult

GRID = (2, 2, 1)
NOWHERE = np.zeros(0, np.int32)


def answered(text, evidence):
    return SentenceResult(
        text=text, polarity="positive", kind="finding", side=None, lobe=None, score=0.5, rank=None, evidence=evidence,
        peak_ras_mm=None, peak_ijk=None, peak_patch_mm=None, side_conflict=False,
    )  # fmt: skip


def case(seed, feature_of_patch, there, *, polarity="positive", side="left", evidence="located", present=(), score=0.0):
    """One sentence along the first axis; four patches, two on the left (x = 0), whose features are given."""
    features = np.array(feature_of_patch, np.float32)
    sentence = np.array([[1.0, 0.0]], np.float32)
    text = "A mass."
    return Case(
        seed=seed,
        statements=(Statement(text, polarity, "mass", side, "", NOWHERE),),
        results=[answered(text, evidence)],
        maps_SN=sentence @ features.T,
        there_SN=np.array([there]),
        embeddings_SC=sentence,
        features_NC=features,
        lung_N=np.array([True, True, True, False]),
        grid=GRID,
        present=frozenset(present),
        findings={"Lung opacity": score},
    )


UP, ACROSS = (1.0, 0.0), (0.0, 1.0)


def test_a_hit_and_its_controls_by_hand():
    """The first scan's mass is in patch 0 and found; the second's is in patch 3 and the peak is on patch 0."""
    first = case(1, [UP, ACROSS, ACROSS, ACROSS], [True, False, False, False])
    second = case(2, [UP, ACROSS, ACROSS, ACROSS], [False, False, False, True], side="right", evidence="not located")
    everything, mass = grounding_rows([first, second])
    assert (everything.finding, mass.finding) == ("all", "mass")
    assert mass.sentences == 2
    assert mass.hit == 0.5
    assert mass.chance == 0.25
    assert mass.lung_prior == pytest.approx((1 / 3 + 0) / 2, abs=1e-4)
    assert mass.position_only == 0.0, "each scan's guess is where the other's mass is"
    assert mass.text_only == 0.5, "the other scan's mean likes patch 0 for both"
    assert mass.swapped == 0.5
    assert mass.side == 0.5
    assert (mass.located, mass.weak_or_located) == (0.5, 0.5)
    assert mass.patch_auroc == pytest.approx((1 + (0 + 0.5 + 0.5) / 3) / 2, abs=1e-4)


def test_sentences_that_point_nowhere_are_counted_apart():
    found = case(1, [UP, ACROSS, ACROSS, ACROSS], [True, False, False, False])
    absent = case(2, [UP, ACROSS, ACROSS, ACROSS], [False] * 4, polarity="absent", evidence="weak")
    quiet = case(3, [UP, ACROSS, ACROSS, ACROSS], [False] * 4, polarity="absent", evidence="not located")
    assert silence([found, absent, quiet])["absent"] == 0.5
    assert math.isnan(silence([found, absent, quiet])["negated"])
    assert grounding_rows([found, absent, quiet])[0].sentences == 1


def test_one_scan_has_no_controls():
    with pytest.raises(ValueError, match="two scans"):
        grounding_rows([case(1, [UP, ACROSS, ACROSS, ACROSS], [True, False, False, False])])


def test_findings_are_ranked_over_scans():
    cases = [
        case(i, [UP] * 4, [False] * 4, present=["Lung opacity"] if there else [], score=score)
        for i, (there, score) in enumerate([(True, 0.9), (True, 0.3), (False, 0.3), (False, 0.1)])
    ]
    assert findings_auroc(cases)["Lung opacity"] == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    scores, there = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    pairs = list(itertools.product(scores[there], scores[~there]))
    assert auroc(scores, there) == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))
    assert math.isnan(auroc(scores, np.ones(40, bool)))


def test_a_patch_is_covered_by_the_voxels_inside_it():
    """A phantom of 8 × 8 × 8 voxels of 1 mm under a grid of 4 mm patches that begins one patch to the right."""
    voxels = np.zeros((8, 8, 8), np.int16)
    phantom = Phantom(
        voxels, (1.0, 1.0, 1.0), voxels.astype(np.uint8), voxels.astype(np.uint8), (),
        PhantomReport("", "", "", ""), frozenset(), Person(50, "F"), 0,
    )  # fmt: skip
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [2.0, -2.0, -2.0]
    features = PatchFeatures(None, (2, 2, 2), affine, None, (4.0, 4.0, 4.0))
    region = np.zeros((8, 8, 8), bool)
    region[2:6, 0:4, 0:2] = True  # x −1.5 … 1.5: half of it right of 0
    share = covered(phantom, [np.flatnonzero(region)], features)[0].reshape(2, 2, 2)
    assert share[0, 0, 0] == pytest.approx(2 * 4 * 2 / 64)
    assert share.sum() == share[0, 0, 0]
