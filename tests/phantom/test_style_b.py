"""The second generator's voxels, truth and sentences agree."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from scipy.spatial import cKDTree

from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.style_b.body import draw_body
from simcrop_core.phantom.style_b.contours import fill, outlines
from simcrop_core.phantom.style_b.curves import along, grow_tree, stamp
from simcrop_core.phantom.style_b.draw import _FRAME, _eight, draw_with
from simcrop_core.phantom.style_b.plan import PAINTERS, draw_findings, planned_kinds
from simcrop_core.phantom.style_b.scanner import digitised
from simcrop_core.phantom.style_b.space import Grid, around_mask
from simcrop_core.phantom.style_b.subject import meet
from simcrop_core.phantom.style_b.untrue import ALIKE, BRINGS
from simcrop_core.phantom.truth import KIND_LABELS, LABELS, LOBES
from simcrop_core.text.ct_rate import CT_RATE_LABELS

# Between them all twenty kinds, so that three phantoms show every one.
KINDS = (
    frozenset({"pneumothorax", "consolidation", "nodule", "medical device", "cardiomegaly", "fibrotic band"}),
    frozenset(
        {
            "pericardial effusion",
            "pleural effusion",
            "mass",
            "ground-glass opacity",
            "lymphadenopathy",
            "peribronchial thickening",
            "arterial calcification",
        }
    ),
    frozenset(
        {
            "hiatal hernia",
            "mosaic attenuation",
            "atelectasis",
            "bronchiectasis",
            "coronary calcification",
            "emphysema",
            "septal thickening",
        }
    ),
)
SEEDS = (3, 21, 2)


@pytest.fixture(scope="session")
def drawn():
    """Phantoms that between them show all kinds."""
    return [draw_with(seed, kinds) for seed, kinds in zip(SEEDS, KINDS, strict=True)]


def positives(phantom):
    """One positive sentence a finding."""
    return {s.topic: s for s in phantom.statements if s.polarity == "positive"}


def test_every_kind_has_a_painter_and_seeds_reach_all_labels():
    assert set(PAINTERS) == set(KIND_LABELS)
    planned = [planned_kinds(seed) for seed in range(60)]
    assert {label for kinds in planned for k in kinds for label in KIND_LABELS[k]} == set(CT_RATE_LABELS)
    assert min(map(len, planned)) == 0
    assert max(map(len, planned)) == 6


def test_the_dispatch_draws_style_b_the_same_each_time_and_in_seconds():
    first = draw_phantom(3, style="b")
    took = []
    # What else the machine does takes caches and clock from it: the best of three tells what the drawing costs.
    while not took or (min(took) >= 6.0 and len(took) < 3):
        began = time.process_time()
        again = draw_phantom(3, style="b")
        took.append(time.process_time() - began)
    assert min(took) < 6.0, "3 s on an idle core; shared ones are slower"
    assert first.style == "b"
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.lobes, again.lobes)
    assert first.report == again.report
    assert [s.text for s in first.statements] == [s.text for s in again.statements]
    assert all(np.array_equal(a.voxels, b.voxels) for a, b in zip(first.statements, again.statements, strict=True))


def test_all_kinds_are_drawn_and_counted_among_the_labels(drawn):
    for phantom, kinds in zip(drawn, KINDS, strict=True):
        assert set(positives(phantom)) == kinds
        assert phantom.present == {label for k in kinds for label in KIND_LABELS[k]}
    assert set().union(*(p.present for p in drawn)) == set(CT_RATE_LABELS)


def test_organs_have_the_density_of_their_tissue(drawn):
    for phantom in drawn:
        median = {name: np.median(phantom.image[phantom.labels == i]) for i, name in enumerate(LABELS) if i}
        assert -970 < median["left lung"] < -600
        assert -970 < median["right lung"] < -600
        assert median["trachea"] < -800
        assert 20 < median["liver"] < 180
        assert 20 < median["spleen"] < 220
        assert 20 < median["heart"] < 450
        assert 20 < median["aorta"] < 450
        assert 60 < median["spine"] < 600
        assert phantom.image.dtype == np.int16
        assert phantom.image.min() >= -1024


def test_organs_lie_on_their_sides_in_ras(drawn):
    for phantom in drawn:
        at = {name: np.argwhere(phantom.labels == i).mean(0) for i, name in enumerate(LABELS) if i}
        assert at["left lung"][0] < at["trachea"][0] < at["right lung"][0]
        assert at["spleen"][0] < at["spine"][0] < at["liver"][0]
        assert at["heart"][0] < at["spine"][0]
        assert at["trachea"][2] > at["heart"][2] > at["liver"][2]
        assert at["spine"][1] < at["aorta"][1] < at["heart"][1]


def test_lobes_lie_in_their_lung_and_in_order(drawn):
    for phantom in drawn:
        assert np.array_equal(np.isin(phantom.lobes, (1, 2)), phantom.labels == 1)
        assert np.array_equal(np.isin(phantom.lobes, (3, 4, 5)), phantom.labels == 2)
        at = {i: np.argwhere(phantom.lobes == i).mean(0) for i in range(1, 6)}
        assert at[1][2] > at[2][2]
        assert at[3][2] > at[4][2] > at[5][2]
        assert at[4][1] > at[5][1]


def test_a_finding_lies_in_the_lobe_and_on_the_side_it_names(drawn):
    for phantom in drawn:
        middle = np.argwhere(phantom.labels == LABELS.index("spine"))[:, 0].mean()
        for kind, s in positives(phantom).items():
            assert s.voxels.size
            if s.lobe:
                assert LOBES[np.bincount(phantom.lobes.ravel()[s.voxels]).argmax()] == s.lobe, kind
                assert s.lobe.startswith(s.side)
            if s.side:
                x = np.unravel_index(s.voxels, phantom.image.shape)[0].mean()
                assert (x < middle) == (s.side == "left"), s.text


def test_each_kind_can_be_drawn_and_changes_the_image_where_its_mask_is():
    """Against the same person without; but for the two that shape the heart, on a body that is the same."""
    healthy = draw_body(_FRAME, 7, frozenset())
    shaped = draw_body(_FRAME, 7, frozenset({"cardiomegaly", "pericardial effusion"}))
    for kind in PAINTERS:
        scene = shaped if kind in ("cardiomegaly", "pericardial effusion") else healthy
        arrays = {name: getattr(scene, name).copy() for name in ("image", "labels", "lobes", "taken")}
        (finding,) = draw_findings(dataclasses.replace(scene, **arrays), frozenset({kind}))
        moved = np.abs(arrays["image"].ravel()[finding.voxels] - healthy.image.ravel()[finding.voxels])
        assert (moved > 15).mean() > (0.12 if kind == "cardiomegaly" else 0.4), kind
        if scene is healthy and kind not in ("mosaic attenuation", "emphysema"):
            mask = np.zeros(scene.grid.shape, dtype=bool)
            mask.ravel()[finding.voxels] = True
            reach = zip(around_mask(mask), (20, 20, 10), strict=True)  # 30 mm: strands and pressed lung lie beside it
            far = np.ones(mask.shape, dtype=bool)
            far[tuple(slice(max(s.start - n, 0), s.stop + n) for s, n in reach)] = False
            assert np.array_equal(arrays["image"][far], healthy.image[far]), kind


def test_solid_findings_are_dense_and_airy_ones_are_not(drawn):
    seen = {k: np.median(p.image.ravel()[s.voxels]) for p in drawn for k, s in positives(p).items()}
    assert seen["pneumothorax"] < -900
    assert seen["emphysema"] < -880
    assert -10 < seen["pleural effusion"] < 40
    assert -10 < seen["pericardial effusion"] < 40
    assert -20 < seen["mass"] < 100
    assert -20 < seen["consolidation"] < 100
    assert -750 < seen["ground-glass opacity"] < -300
    for metal_or_lime in ("medical device", "arterial calcification", "coronary calcification"):
        assert seen[metal_or_lime] > 130, metal_or_lime


def test_sizes_in_words_are_sizes_in_voxels(drawn):
    for phantom in drawn:
        for kind in ("nodule", "mass"):
            s = positives(phantom).get(kind)
            if s is None:
                continue
            index = np.stack(np.unravel_index(s.voxels, phantom.image.shape), 1) * phantom.spacing_mm
            assert (kind == "mass") == (s.size_mm > 30)
            assert np.ptp(index, axis=0).max() <= s.size_mm + 3
            said = [t.text for t in phantom.statements if t.topic == kind and t.polarity == "positive"]
            assert any(f"{s.size_mm:.0f} mm" in t for t in said)
            assert any(f"{s.size_mm / 10:.1f} cm" in t for t in said)


def test_each_finding_is_said_in_several_ways_with_one_doubt_and_one_comparison(drawn):
    for phantom in drawn:
        for kind in positives(phantom):
            of_kind = [s for s in phantom.statements if s.topic == kind]
            texts = {s.text for s in of_kind if s.polarity == "positive"}
            assert len(texts) >= 3
            assert sum(s.polarity == "uncertain" for s in of_kind) == 1
            assert sum(s.polarity == "comparison" for s in of_kind) == 1


def test_what_is_negated_or_absent_was_not_drawn_there(drawn):
    for phantom in drawn:
        found = list(positives(phantom).values())
        for s in phantom.statements:
            if s.polarity == "negated":
                assert s.topic not in {f.topic for f in found}
                assert all(s.topic not in BRINGS.get(f.topic, ()) for f in found), s.text
                assert any(word in f" {s.text.lower()}" for word in (" no ", " not ", " neither ", " without ")), s.text
            if s.polarity == "absent":
                alike = next((group for group in ALIKE if s.topic in group), {s.topic})
                for f in found:
                    same_place = (not f.lobe or f.lobe == s.lobe) and f.side in ("", s.side)
                    assert not (f.topic in alike and same_place), s.text
            assert (s.voxels.size == 0) == (s.polarity in ("negated", "absent")), s.text


def test_normal_organs_hold_no_finding(drawn):
    for phantom in drawn:
        for s in phantom.statements:
            if s.polarity == "normal":
                inside = set(s.voxels.tolist())
                for f in positives(phantom).values():
                    if f.topic != "medical device":
                        assert inside.isdisjoint(f.voxels.tolist()), (s.text, f.text)


def test_sentences_name_their_own_side_and_never_the_other(drawn):
    for phantom in drawn:
        for s in phantom.statements:
            text = s.text.lower()
            assert "{" not in text
            assert text.endswith(".")
            if s.side and s.topic != "coronary calcification":
                assert s.side in text
                assert {"left": "right", "right": "left"}[s.side] not in text
            if s.lobe:
                assert s.lobe in text


def test_the_report_says_only_what_is_true(drawn):
    for phantom in drawn:
        untrue = {s.text for s in phantom.statements if s.polarity == "absent"}
        true = {s.text for s in phantom.statements if s.polarity not in ("absent", "anatomy", "uncertain")}
        text = phantom.report.findings
        for sentence in sorted(true, key=len, reverse=True):
            text = text.replace(sentence, "")
        assert not text.strip()
        assert not any(sentence in phantom.report.findings.split(". ") for sentence in untrue)
        for kind in positives(phantom):
            said = [s.text for s in phantom.statements if s.topic == kind and s.polarity == "positive"]
            assert any(t in phantom.report.findings for t in said)
            assert any(t in phantom.report.impression for t in said)
        assert str(phantom.person.age) in phantom.report.clinical_information


def test_a_scan_that_ends_above_the_bases_says_only_what_is_left():
    seed = next(k for k in range(200) if meet(k, large_heart=False).bases_cut_mm > 25)
    phantom = draw_with(seed, frozenset({"pleural effusion", "arterial calcification", "nodule"}))
    empty = (phantom.image == -1024).all(axis=(0, 1))
    assert 0 < empty.sum() < 70
    assert not phantom.labels[:, :, empty].any()
    for s in phantom.statements:
        assert not empty[s.voxels % phantom.image.shape[2]].any()
        assert s.polarity != "negated" or s.topic not in ("pleural effusion", "arterial calcification", "nodule")


@settings(max_examples=25, deadline=None)
@given(
    radii=st.lists(st.floats(6, 28), min_size=5, max_size=12),
    centre=st.tuples(st.floats(-45, 45), st.floats(-45, 45)),
)
def test_a_filled_contour_holds_the_voxels_whose_centres_its_polygon_holds(radii, centre):
    """Against matplotlib's point-in-polygon test, also where the contour leaves the grid."""
    grid = Grid((90, 80, 3), (1.0, 1.0, 3.0))
    angle = np.arange(len(radii)) / len(radii) * 2 * np.pi
    ring = np.array(centre) + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.array(radii)[:, None]
    outline = outlines(np.array([-10.0, 10.0]), np.stack([ring, ring]), grid.axis(2))
    drawn = fill(grid, outline).flat_within(grid)[:, :, 1]
    at = np.stack(np.meshgrid(grid.axis(0), grid.axis(1), indexing="ij"), axis=-1).reshape(-1, 2)
    expected = Path(outline[1]).contains_points(at).reshape(90, 80)
    assert (drawn != expected).sum() <= 2, "only a centre on the line itself may fall to either side"


def test_a_stamped_tube_has_its_volume():
    grid = Grid((60, 60, 40), (1.5, 1.5, 3.0))
    cover = np.zeros(grid.shape, dtype=np.float32)
    centre = along([(-5, -3, -40, 9.0), (4, 6, 0, 9.0), (-5, 2, 40, 9.0)])
    stamp(grid, cover, centre[:, :3], centre[:, 3])
    length = np.linalg.norm(np.diff(centre[:, :3], axis=0), axis=1).sum()
    volume = np.pi * 81 * length + 4 / 3 * np.pi * 729
    assert cover.sum() * 6.75 == pytest.approx(volume, rel=0.03)


def test_a_tree_reaches_every_point_of_its_crown_and_tapers():
    rng = np.random.default_rng(3)
    cloud = rng.uniform(-40, 40, (300, 3))
    crowns = (cloud[:, 0] > 0).astype(np.int64)
    roots = np.array([(-5.0, 0, 0), (5.0, 0, 0)])
    tree = grow_tree(roots, cloud, crowns, tip_mm=0.6, rng=rng)
    for crown in (0, 1):
        own = tree.points_N3[tree.crowns_N == crown]
        assert np.linalg.norm(own - roots[crown], axis=1).min() < 1e-6
        assert cKDTree(own).query(cloud[crowns == crown])[0].max() < 4.0
    mean_radius = [tree.radii_N[tree.generation_N == g].mean() for g in range(6)]
    assert (np.diff(mean_radius) < 0).all()
    assert tree.radii_N.min() == pytest.approx(0.6)


def test_noise_of_the_scanner_is_as_strong_as_asked_and_has_little_at_low_frequency():
    subject = dataclasses.replace(meet(1, large_heart=False), noise_hu=20.0, field_mm=400.0)
    flat = digitised(np.zeros((96, 96, 12), dtype=np.float32), (1.5, 1.5, 3.0), subject, seed=1)
    assert flat.std() == pytest.approx(20, rel=0.1)
    power = np.abs(np.fft.fft2(flat[:, :, 0])) ** 2
    assert power[:3, :3].mean() < 0.3 * power[8:16, 8:16].mean()


@pytest.mark.slow
def test_the_full_size_is_the_frame_of_a_scanner_in_seconds():
    began = time.process_time()
    phantom = draw_phantom(12, style="b", size="full")
    assert time.process_time() - began < 25, "20 s on an idle core; shared ones are slower"
    assert phantom.image.shape == (512, 512, 300) == phantom.labels.shape == phantom.lobes.shape
    assert phantom.spacing_mm == (0.7, 0.7, 1.1)
    for s in positives(phantom).values():
        if s.lobe:
            assert LOBES[np.bincount(phantom.lobes.ravel()[s.voxels]).argmax()] == s.lobe


def test_a_voxel_becomes_its_eight_in_the_full_size():
    shape = (3, 4, 5)
    mask = np.random.default_rng(0).random(shape) < 0.4
    finer = np.zeros((6, 8, 10), dtype=bool)
    finer.ravel()[_eight(np.flatnonzero(mask).astype(np.int32), shape)] = True
    assert np.array_equal(finer, mask.repeat(2, 0).repeat(2, 1).repeat(2, 2))
