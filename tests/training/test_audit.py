"""What an audit changes, and what it says of weights that find what is bright whatever they are asked."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from masked_scans import AFFINE, with_box, write_table
from simcrop_training.evaluate.grounding_benchmark import questions
from simcrop_training.evaluate.grounding_benchmark.audit import Moved, audited
from simcrop_training.evaluate.grounding_benchmark.audit_tables import (
    AGREEMENT,
    BEYOND,
    SIDED,
    Move,
    changes,
    markdown,
    reading_of,
)
from simcrop_training.evaluate.grounding_benchmark.command import Audit
from simcrop_training.evaluate.grounding_benchmark.encoded import patches_of
from simcrop_training.evaluate.grounding_benchmark.masks import Region

from simcrop_core.imaging.passport import check
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.session import Session

TEXT = "There is a mass in the left lung."


def opened(chest, side, engine):
    image, mask = with_box(chest, side)
    volume, passport = check(Volume(np.asfortranarray(image), AFFINE))
    return Session(volume, passport, engine), Region(np.asfortranarray(mask > 0), AFFINE)


@pytest.fixture(scope="module")
def moved(coarse_chest, engine):
    """Every change to one sentence about a box on the left, the other patient's being on the right."""
    session, region = opened(coarse_chest, "left", engine)
    partner, _ = opened(coarse_chest, "right", engine)
    return {move.change: move for move in audited("one", session, [TEXT], [region], partner)}


def test_every_change_was_made(moved):
    assert set(moved) == set(questions.CHANGES)


def test_nothing_moves_where_nothing_changed(moved):
    unchanged = moved["unchanged"]
    assert (unchanged.score, unchanged.place, unchanged.peak_mm, unchanged.side_flipped) == (0, 0, 0, 0)
    assert (unchanged.pointing, unchanged.distance_mm) == (0, 0)


def test_a_model_that_looks_follows_the_mirrored_anatomy(moved):
    mirror = moved["mirrored scan"]
    assert mirror.side_flipped == 1
    assert mirror.pointing == 0
    assert abs(mirror.distance_mm) < 24
    assert moved["mirrored scan and sentence"].side_flipped == 1


def test_a_model_that_does_not_read_answers_other_words_alike(moved):
    for change in ("other side named", "negated"):
        assert moved[change].score == pytest.approx(0, abs=1e-4)
        assert moved[change].peak_mm == 0


def test_another_patients_scan_has_its_peak_elsewhere_and_no_mask(moved):
    assert moved["swapped scan"].side_flipped == 1
    assert moved["swapped scan"].peak_mm > 48
    assert math.isnan(moved["swapped scan"].pointing)


def test_what_is_hidden_is_missed_and_other_holes_are_not(moved):
    hidden, others = moved["top-K occluded"], moved["others occluded"]
    assert hidden.score < others.score - 0.02
    assert hidden.peak_mm > 0
    assert others.peak_mm == 0
    assert others.score == pytest.approx(0, abs=0.01)


def test_occlusion_fills_those_patches_and_no_other_voxel(coarse_chest, engine):
    session, _ = opened(coarse_chest, "left", engine)
    frame, patches = session.frame, np.array([0, 1234])
    changed = questions.occluded(session, patches).frame
    different = (changed.images_THWD != frame.images_THWD)[0]
    x, y, z = np.unravel_index(1234, frame.patch_grid)
    a, b, c = frame.config.patch
    inside = np.zeros(different.shape, bool)
    inside[:a, :b, :c] = inside[x * a : (x + 1) * a, y * b : (y + 1) * b, z * c : (z + 1) * c] = True
    assert not different[~inside].any()
    low, high = frame.config.hu_window
    fill = (questions.lung_hu(session) - (low + high) / 2) / ((high - low) / 2)
    assert -0.95 < fill < -0.6, "plain lung"
    assert np.allclose(changed.images_THWD[0][inside], fill)
    assert len(np.unique(changed.images_THWD[0][inside])) == 1


def test_other_patches_are_never_the_hidden_ones_and_always_the_same(coarse_chest, engine):
    session, _ = opened(coarse_chest, "left", engine)
    lung_N = patches_of(session).lung_N
    top = np.flatnonzero(lung_N)[:4]
    rest = questions.other_patches(top, lung_N, "scan\nsentence")
    assert len(rest) == 4
    assert lung_N[rest].all()
    assert not set(rest) & set(top)
    assert np.array_equal(rest, questions.other_patches(top, lung_N, "scan\nsentence"))
    assert not np.array_equal(rest, questions.other_patches(top, lung_N, "scan\nanother"))


def test_moves_are_set_against_each_other_sentence_by_sentence():
    plain = Moved("unchanged", 0, "x", 0, 0, 0, 0, 0, 0, 0, 0)
    scores = {
        "mirrored scan": (-0.3, -0.1), "other side named": (-0.2, -0.4), "mirrored scan and sentence": (0.1, 0.0),
        "top-K occluded": (-0.5, -0.1), "others occluded": (-0.1, -0.1),
    }  # fmt: skip
    rows = [
        Move(scan, scan, dataclasses.replace(plain, change=change, score=score))
        for change, pair in scores.items()
        for scan, score in zip("ab", pair, strict=True)
    ]
    # A sentence without a side has no part in what needs one.
    rows.append(Move("c", "c", dataclasses.replace(plain, change="mirrored scan", score=9)))
    found = {row.change: row for row in changes(rows, rounds=50)}
    assert found[AGREEMENT].sentences == 2
    assert found[AGREEMENT].moves["score"].mean == pytest.approx(((0.1 + 0.2 + 0.3) + (0.0 + 0.4 + 0.1)) / 2)
    assert found[BEYOND].moves["score"].mean == pytest.approx((-0.4 + 0.0) / 2)
    assert found[SIDED].moves["score"].mean == pytest.approx(-0.2)
    assert "unchanged" not in found
    page = markdown(list(found.values()))
    assert all(reading_of(name) in page for name in found)


def test_the_command_writes_its_page_and_goes_on(tmp_path, coarse_chest, bright_finder):
    rows = [("ann", "left", TEXT), ("bob", "right", "There is a mass in the right lung.")]
    command = Audit(write_table(tmp_path, coarse_chest, rows), tmp_path / "out", (str(bright_finder),), device="cpu")
    command.run()
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    found = {row["change"]: row for row in document["models"][0]["changes"]}
    assert found["mirrored scan"]["moves"]["side_flipped"]["mean"] == 1
    assert found["swapped scan"]["moves"]["pointing"]["mean"] is None
    assert "must" in found[BEYOND]["reading"]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "scans").rglob("*.audit.json")}
    assert len(kept) == 2
    command.run()
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == document
