"""Style a draws the same recognisable person on every grid, in the time it may take."""

from __future__ import annotations

import numpy as np
import pytest

from simcrop_core.phantom.style_a import scaffold
from simcrop_core.phantom.style_a.body import draw_body
from simcrop_core.phantom.style_a.draw import draw_phantom
from simcrop_core.phantom.style_a.person import draw_anatomy
from simcrop_core.phantom.style_a.scaffold import draw_scaffold
from simcrop_core.phantom.style_a.scanner import View, scanned
from simcrop_core.phantom.style_a.space import FRAME, Grid
from simcrop_core.phantom.truth import LABELS

COARSE = Grid((112, 112, 84), (3.0, 3.0, 4.0))


@pytest.fixture(scope="module")
def people():
    """(body, anatomy) of a few people before the scanner, coarse."""
    bodies = [draw_body(seed) for seed in range(4)]
    return [(body, draw_anatomy(body, COARSE, draw_scaffold(body))) for body in bodies]


def test_the_same_seed_draws_the_same_phantom(phantoms):
    again = draw_phantom(phantoms[0].seed)
    assert np.array_equal(again.image, phantoms[0].image)
    assert np.array_equal(again.labels, phantoms[0].labels)
    assert again.report == phantoms[0].report
    for s, t in zip(again.statements, phantoms[0].statements, strict=True):
        assert (s.text, s.polarity) == (t.text, t.polarity)
        assert np.array_equal(s.voxels, t.voxels)


def test_another_seed_draws_another_person(phantoms):
    assert not np.array_equal(phantoms[0].labels, phantoms[1].labels)
    assert phantoms[0].image.shape == FRAME.shape
    assert phantoms[0].spacing_mm == FRAME.spacing_mm


def test_tissues_have_their_density_before_the_scanner(people):
    for body, a in people:
        medians = {name: np.median(a.image[a.labels == i]) for i, name in enumerate(LABELS) if i}
        assert -930 < medians["left lung"] < -750
        assert abs(medians["left lung"] - medians["right lung"]) < 25
        assert medians["trachea"] < -940
        assert 25 < medians["liver"] < 140
        assert 40 < medians["spleen"] < 140
        assert medians["spine"] > 50
        assert 20 < np.median(a.image[a.regions["oesophagus"]]) < 60
        assert np.median(a.image[a.regions["ribs"]]) > 100
        blood = 41 + body.contrast.arteries
        assert abs(medians["aorta"] - blood) < 15
        fat = a.image[a.regions["body"] & (a.labels == 0)]
        assert ((fat > -130) & (fat < -70)).mean() > 0.15


def test_contrast_brightens_what_its_phase_brightens(people):
    phases = {body.contrast.phase for body, _ in people}
    assert len(phases) >= 2
    for body, a in people:
        kidney = np.median(a.image[a.regions["left kidney"]])
        if body.contrast.phase == "none":
            assert kidney < 60
            assert np.median(a.image[a.labels == 4]) < 60
        else:
            assert kidney > 80
            assert np.median(a.image[a.regions["pulmonary artery"]]) > 90


def test_organs_lie_where_they_belong(people):
    """RAS: x grows to the patient's right, y to the front, z upwards."""
    for _, a in people:
        centre = {name: np.argwhere(a.labels == i).mean(0) for i, name in enumerate(LABELS) if i}
        assert centre["left lung"][0] < centre["trachea"][0] < centre["right lung"][0]
        assert centre["spleen"][0] < centre["spine"][0] < centre["liver"][0]
        assert centre["heart"][0] < centre["spine"][0] + 4
        assert centre["trachea"][2] > centre["heart"][2] > centre["liver"][2]
        assert centre["spine"][1] < centre["aorta"][1] < centre["heart"][1]
        stomach = np.argwhere(a.regions["stomach"]).mean(0)
        assert stomach[0] < centre["spine"][0]
        for side in ("left", "right"):
            kidney = np.argwhere(a.regions[f"{side} kidney"]).mean(0)
            assert (kidney[0] < centre["spine"][0]) == (side == "left")
            assert kidney[2] < centre["liver"][2]


def test_organs_have_a_grown_persons_size(people):
    for _, a in people:
        litres = {name: (a.labels == i).sum() * COARSE.voxel_mm3 / 1e6 for i, name in enumerate(LABELS) if i}
        assert 1.0 < litres["left lung"] < 4.2
        assert 1.0 < litres["right lung"] < 4.3
        assert 0.25 < litres["heart"] < 1.6
        assert 0.7 < litres["liver"] < 3.0
        assert 0.02 < litres["trachea"] < 0.12


def test_lobes_fill_their_lung_and_lie_in_order(phantoms):
    for phantom in phantoms:
        assert set(np.unique(phantom.lobes[phantom.labels == 1])) <= {1, 2}
        assert set(np.unique(phantom.lobes[phantom.labels == 2])) <= {3, 4, 5}
        assert not phantom.lobes[(phantom.labels != 1) & (phantom.labels != 2)].any()
        z = {i: np.argwhere(phantom.lobes == i).mean(0) for i in range(1, 6)}
        assert z[1][2] > z[2][2]
        assert z[3][2] > z[4][2]
        assert z[4][1] > z[5][1], "the middle lobe lies in front of the lower lobe"


def test_vessels_taper_to_the_pleura_and_bronchi_are_air(people):
    """Bright dots are found in the outer lung but not at its very surface; the carina is open."""
    for _, a in people:
        lung = a.lung()
        middle, outermost = lung & (a.depth > 10) & (a.depth < 25), lung & (a.depth < 4) & (a.above > 6)
        parenchyma = np.median(a.image[lung])
        assert (a.image[middle] > parenchyma + 150).mean() > 2 * (a.image[outermost] > parenchyma + 150).mean()
        assert np.median(a.image[a.regions["carina"]]) < -900


@pytest.mark.slow
def test_both_sizes_show_the_same_person_and_say_the_same(phantoms):
    frame = phantoms[1]
    full = draw_phantom(frame.seed, "full")
    assert full.image.shape == (512, 512, 300)
    assert full.image.shape == full.labels.shape == full.lobes.shape
    assert full.report == frame.report
    assert full.present == frame.present
    assert full.person == frame.person
    finer = np.prod(frame.spacing_mm) / np.prod(full.spacing_mm)
    for s, t in zip(full.statements, frame.statements, strict=True):
        assert (s.text, s.polarity, s.lobe) == (t.text, t.polarity, t.lobe)
        if t.voxels.size > 200:
            assert 0.7 < s.voxels.size / (finer * t.voxels.size) < 1.4, s.text
            there = [np.stack(np.unravel_index(v.voxels, p.image.shape), 1).mean(0) for v, p in ((s, full), (t, frame))]
            mm = [np.append(at, 1) @ p.affine.T for at, p in zip(there, (full, frame), strict=True)]
            assert np.abs(mm[0] - mm[1]).max() < 6, s.text


def test_now_and_then_one_dome_of_the_diaphragm_is_raised(people):
    """Against the same person with both domes as they usually stand."""
    bodies = (draw_body(seed) for seed in range(60))
    body = next(b for b in bodies if b.stream("diaphragm").random() < scaffold._RAISED_RATE)
    raised = draw_scaffold(body).above
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaffold, "_RAISED_RATE", 0.0)
        usual = draw_scaffold(body).above
    lift = usual - raised
    assert scaffold._RAISED_MM[0] < lift.max() < scaffold._RAISED_MM[1]
    assert lift.min() == pytest.approx(0, abs=1e-3), "the other dome stays"
    rates = [draw_body(seed).stream("diaphragm").random() < scaffold._RAISED_RATE for seed in range(300)]
    assert 0.1 < np.mean(rates) < 0.2


def test_metal_has_streaks_in_its_slices_and_nothing_else_has(people):
    body, _ = people[0]
    grid = Grid((80, 80, 10), (1.5, 1.5, 3.0))
    plain = _scan_of_a_rod(40, grid, body)
    of_bone, of_metal, again = (_scan_of_a_rod(hu, grid, body) for hu in (1100, 2400, 2400))
    away = np.ones(grid.shape, bool)
    away[30:50, 30:50] = False
    assert np.abs(of_bone - plain)[away].max() <= 1
    assert np.abs(of_metal - plain)[:, :, 4][away[:, :, 4]].max() > 25
    assert (of_metal - plain)[:, :, 4][away[:, :, 4]].min() < -25, "bright and dark"
    assert np.abs(of_metal - plain)[:, :, 9].max() <= 1, "slices without metal"
    assert np.array_equal(of_metal, again)


def _scan_of_a_rod(hu, grid, body):
    rod = np.full(grid.shape, 40, np.float32)
    rod[38:42, 38:42, 3:6] = hu
    return scanned(rod, grid, grid, body, View(-1e3, 1e3, 1e3)).astype(int)
