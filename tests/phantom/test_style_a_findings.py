"""Findings of style a are seen in the image, where their truth says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from simcrop_core.phantom.style_a.body import draw_body
from simcrop_core.phantom.style_a.choose import EFFUSIONS, choose
from simcrop_core.phantom.style_a.draw import decide
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.findings import ELSEWHERE, IN_LUNG, draw_finding, draw_findings
from simcrop_core.phantom.style_a.person import draw_anatomy
from simcrop_core.phantom.style_a.scaffold import draw_scaffold
from simcrop_core.phantom.style_a.space import Grid
from simcrop_core.phantom.style_a.wording import sentences
from simcrop_core.phantom.truth import KIND_LABELS, LOBES
from simcrop_core.text.ct_rate import CT_RATE_LABELS

COARSE = Grid((112, 112, 84), (3.0, 3.0, 4.0))
SOLID = ("mass", "consolidation", "pleural effusion", "atelectasis")


@pytest.fixture(scope="module")
def healthy():
    body = draw_body(2)
    return draw_anatomy(body, COARSE, draw_scaffold(body))


@pytest.fixture
def chest(healthy):
    copies = (healthy.image.copy(), healthy.labels.copy(), healthy.lobes.copy())
    return replace(healthy, image=copies[0], labels=copies[1], lobes=copies[2])


def test_every_kind_of_finding_can_be_drawn():
    assert set(IN_LUNG) | set(ELSEWHERE) == set(KIND_LABELS)


@pytest.mark.parametrize("kind", [k for k in KIND_LABELS if k != "cardiomegaly"])
def test_a_finding_changes_the_image_inside_its_mask_and_next_to_nothing_elsewhere(kind, healthy, chest):
    for seed, lobe in ((1, 2), (2, 5), (3, 3)):
        before = chest.image.copy()
        finding = choose(chest, np.random.default_rng(seed), kind, lobe, kind in IN_LUNG)
        assert finding is not None
        mask = draw_finding(chest, finding)
        change = np.abs(chest.image - before)
        assert mask.any()
        assert change[mask].mean() > 8, "drawn"
        assert change[mask].max() > 60 or kind == "emphysema"
        # Edges, spicules, collapsed lung beside fluid and a pleural line lie just outside.
        assert change[~mask].sum() < 1.2 * change[mask].sum()
        chest.image[...], chest.labels[...], chest.lobes[...] = healthy.image, healthy.labels, healthy.lobes


def test_solid_findings_are_dense_and_air_is_dark(chest):
    aerated = np.median(chest.image[chest.lung()])
    for kind in (*SOLID, "pneumothorax"):
        f = choose(chest, np.random.default_rng(5), kind, 5, kind in IN_LUNG)
        inside = np.median(chest.image[draw_finding(chest, f)])
        assert inside > aerated + 400 if kind in SOLID else inside < aerated


@pytest.mark.parametrize("kind", list(IN_LUNG))
def test_a_finding_in_the_lung_lies_in_the_lobe_it_names(kind, chest):
    for lobe in range(1, 6):
        f = choose(chest, np.random.default_rng(lobe), kind, lobe, in_lung=True)
        lobes = chest.lobes.copy()
        at = lobes[draw_finding(chest, f)]
        if f.lobe:
            assert LOBES[lobe] == f.lobe
            assert f.side == f.lobe.split()[0]
            assert (at == lobe).mean() > 0.95
        else:
            assert len(np.unique(at[at > 0])) == 5, "both lungs"


@pytest.mark.parametrize(("kind", "grades"), [("pleural effusion", ("small", "moderate", "large")),
                                              ("pneumothorax", ("small", "moderate", "large"))])  # fmt: skip
def test_what_is_called_larger_is_larger(kind, grades, healthy):
    volumes = []
    for grade in grades:
        chest = replace(healthy, image=healthy.image.copy(), labels=healthy.labels.copy(), lobes=healthy.lobes.copy())
        f = choose(chest, np.random.default_rng(1), kind, 1, in_lung=False)
        volumes.append(draw_finding(chest, replace(f, severity=grade)).sum())
    assert volumes == sorted(volumes)
    assert volumes[2] > 3 * volumes[0]


def test_more_severe_disease_changes_more(healthy):
    for kind in ("emphysema", "mosaic attenuation", "septal thickening", "arterial calcification"):
        changes = []
        for grade in ("mild", "severe"):
            chest = replace(healthy, image=healthy.image.copy())
            f = choose(chest, np.random.default_rng(4), kind, 3, kind in IN_LUNG)
            draw_finding(chest, replace(f, severity=grade))
            changes.append(np.abs(chest.image - healthy.image).sum())
        assert changes[1] > 1.3 * changes[0], kind


def test_a_nodule_has_the_size_that_is_said(healthy):
    space = healthy.space
    for seed in range(4):
        chest = replace(healthy, image=healthy.image.copy())
        f = choose(chest, np.random.default_rng(seed), "mass", 5, in_lung=True)
        mask = draw_finding(chest, f)
        across = [np.ptp(v[mask]) for v in (space.x, space.y, space.z)]
        assert 0.6 * f.size_mm < max(across) < 1.7 * f.size_mm


def test_all_eighteen_labels_occur():
    seen = set()
    for seed in range(60):
        plan = decide(seed, most_findings=60)
        seen |= {label for f in plan.findings for label in KIND_LABELS[f.kind]}
        if seen == set(CT_RATE_LABELS):
            break
    assert seen == set(CT_RATE_LABELS)


def test_present_is_what_the_positive_sentences_are_about(phantoms):
    for phantom in phantoms:
        topics = {s.topic for s in phantom.statements if s.polarity == "positive"}
        assert phantom.present == {label for topic in topics for label in KIND_LABELS[topic]}


def test_findings_can_be_drawn_into_any_chest(chest):
    drawn = draw_findings(chest, np.random.default_rng(8), 6)
    assert drawn
    for d in drawn:
        assert d.voxels.size > 0
        assert d.voxels.max() < chest.image.size


def test_two_findings_never_share_kind_and_lobe():
    for seed in range(3):
        named = [(f.kind, f.side, f.lobe, f.place, f.looks) for f in decide(seed, most_findings=30).findings]
        assert len(named) == len(set(named))


@pytest.mark.parametrize("looks", ["", "loculated", "subpulmonic"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_fluid_lies_in_its_own_pleural_space_where_its_kind_does(looks, side, healthy, chest):
    f = Finding("pleural effusion", side, looks=looks, severity="moderate", seed=4)
    fluid = draw_finding(chest, f)
    assert fluid.sum() * COARSE.voxel_mm3 > 20_000
    assert set(np.unique(healthy.labels[fluid])) == {1 if side == "left" else 2}, "where that lung was"
    assert not (chest.lung() & fluid).any()
    if looks == "loculated":
        assert np.quantile(chest.depth[fluid], 0.9) < 34, "on the chest wall"
        assert ndimage.label(fluid)[1] <= 2, "in one place"
    if looks == "subpulmonic":
        assert np.quantile(chest.above[fluid], 0.9) < 40, "on the diaphragm"


def test_every_kind_of_fluid_is_chosen_and_said(chest):
    chosen = [choose(chest, np.random.default_rng(seed), "pleural effusion", 1, in_lung=False) for seed in range(60)]
    assert {f.looks for f in chosen} == set(EFFUSIONS)
    f = next(f for f in chosen if f.looks == "loculated")
    said = {sentences.positive(f, np.random.default_rng(seed)) for seed in range(40)}
    assert any("loculated" in sentence for sentence in said)
    assert not any("free" in sentence for sentence in said), "free fluid is not what is loculated"
