"""A domain probe finds what differs between real and drawn lungs, and nothing where nothing does."""

from __future__ import annotations

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from simcrop_training.evaluate.domain import (
    STATISTICS,
    WHOLE_CHESTS,
    LungPatches,
    _by_patch,
    _statistics,
    lung_patches,
    probe,
    told_apart,
)

from simcrop_core.inference.engine import Engine

COLUMN = {name: i for i, name in enumerate(STATISTICS)}


def patches(seed, *, offset=0.0, column=None):
    rng = np.random.default_rng(seed)
    statistics = rng.normal(size=(200, len(STATISTICS))).astype(np.float32)
    if column is not None:
        statistics[:, column] += offset
    return LungPatches(rng.normal(size=(200, 8)).astype(np.float32), statistics)


def rows_of(real_offset, column):
    real = {name: patches(i, offset=real_offset, column=column) for i, name in enumerate("xyz")}
    rows = told_apart(real, {"a": [patches(10 + i) for i in range(6)]})
    return {row.by: row for row in rows if row.scan == "all"}, rows


def test_what_differs_in_one_number_is_told_by_that_number_alone():
    summary, rows = rows_of(6.0, COLUMN["vessels"])
    assert summary["vessels"].auroc > 0.99
    assert summary["all statistics"].auroc > 0.99
    assert summary["vessels"].real - summary["vessels"].drawn == pytest.approx(6, abs=0.5)
    for other in set(STATISTICS) - {"vessels"}:
        assert abs(summary[other].auroc - 0.5) < 0.15, other
    assert abs(summary["network"].auroc - 0.5) < 0.15
    assert len(rows) == (3 + 1) * (2 + len(STATISTICS))


def test_nothing_is_told_where_nothing_differs():
    summary, _ = rows_of(0.0, None)
    assert all(abs(row.auroc - 0.5) < 0.15 for row in summary.values())


def test_a_difference_that_one_scan_alone_has_is_not_learned_from_that_scan():
    """Its own patches would give it away; the probe has only seen the others."""
    real = {name: patches(i) for i, name in enumerate("xy")} | {"z": patches(2, offset=6.0, column=0)}
    rows = {
        row.scan: row for row in told_apart(real, {"a": [patches(10 + i) for i in range(6)]}) if row.by == "vessels"
    }
    assert abs(rows["z"].auroc - 0.5) < 0.2


def test_statistics_of_a_patch_by_hand():
    hu = np.full((4, 4, 4), -800.0, np.float32)
    hu[2:, :2, :2] = np.float32(100.0)  # one patch of eight is vessel
    rows = _statistics(hu, (2, 2, 2))
    assert rows.shape == (8, len(STATISTICS))
    mean, vessels = rows[:, COLUMN["mean"]], rows[:, COLUMN["vessels"]]
    assert sorted(mean.tolist()) == [-800.0] * 7 + [100.0]
    assert vessels[mean.argmax()] > 80
    assert rows[0, COLUMN["spread"]] == 0


def test_patches_are_in_the_networks_order():
    volume = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    blocks = _by_patch(volume, (2, 2, 2))
    assert sorted(blocks[1].tolist()) == sorted(volume[:2, :2, 2:].ravel().tolist()), "z is fastest"
    assert sorted(blocks[4].tolist()) == sorted(volume[2:, :2, :2].ravel().tolist()), "x is slowest"


def test_lung_patches_are_lung(engine):
    shape = (64, 48, 56)
    found = lung_patches(volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=shape), shape), engine)
    assert len(found.features_NC) == len(found.statistics_NS) > 20
    assert np.median(found.statistics_NS[:, COLUMN["mean"]]) < -600


@pytest.mark.slow
def test_real_chests_beside_phantoms(real_ct):
    scans = [real_ct(f"{name}/{file}") for name, file in WHOLE_CHESTS.items()]
    rows = probe(Engine("starter", "cpu"), scans[0].parents[1], range(300_000, 300_004))
    assert {row.scan for row in rows} == {*WHOLE_CHESTS, "all"}
    assert all(0 <= row.auroc <= 1 for row in rows)
