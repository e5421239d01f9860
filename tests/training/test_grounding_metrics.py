"""Figures of a grounded sentence equal those written out voxel by voxel."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from chests import affine_of, axis_orders, rotations
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from simcrop_training.evaluate.grounding_benchmark import metrics
from simcrop_training.evaluate.grounding_benchmark.masks import Region, mirrored

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.volume import Volume

few = settings(max_examples=40, deadline=None)
SHAPE = (4, 5, 3)
GRID = (2, 3, 2)
masks = hnp.arrays(bool, SHAPE, elements=st.booleans())
sparse = hnp.arrays(bool, SHAPE, elements=st.sampled_from([True, False, False, False, False]))
# Upright or oblique, with axes in any order and direction.
affines = st.builds(
    lambda turned, spacing, rotation: affine_of(
        order=turned[0], signs=turned[1], spacing=spacing, rotation=rotation, shape=SHAPE
    ),
    axis_orders,
    st.tuples(st.floats(0.5, 3), st.floats(0.5, 3), st.floats(0.5, 5)),
    st.one_of(st.none(), rotations),
)
patches = st.builds(
    lambda r: affine_of(spacing=(5.0, 4.0, 6.0), rotation=r, shape=GRID), st.one_of(st.none(), rotations)
)
points = hnp.arrays(float, (6, 3), elements=st.floats(-12, 12).map(lambda mm: round(mm, 3)))


def voxels_of(mask):
    return {tuple(int(i) for i in index) for index in np.argwhere(mask)}


def parts_of(mask):
    """Flood from every voxel to its 26 neighbours."""
    left, parts = voxels_of(mask), []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            voxel = edge.pop()
            part.add(voxel)
            for step in itertools.product((-1, 0, 1), repeat=3):
                beside = tuple(v + s for v, s in zip(voxel, step, strict=True))
                if beside in left:
                    left.remove(beside)
                    edge.append(beside)
        parts.append(part)
    return parts


def most_pairs(alike, theirs):
    """The largest one-to-one matching, by trying everything."""
    if not theirs:
        return 0
    skipped = most_pairs(alike, theirs[1:])
    taken = [
        1 + most_pairs({pair for pair in alike if pair[0] != ours}, theirs[1:])
        for ours in {pair[0] for pair in alike if pair[1] == theirs[0]}
    ]
    return max([skipped, *taken])


@few
@given(masks, masks)
def test_overlap_by_counting(answer, truth):
    a, b = voxels_of(answer), voxels_of(truth)
    found = metrics.overlap(answer, truth)
    if b:
        assert found.dice == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
        assert found.hit == float(2 * len(a & b) / (len(a) + len(b)) >= 0.1)
        assert found.touch == float(bool(a & b))


@few
@given(st.one_of(masks, sparse), st.one_of(masks, sparse))
def test_instances_by_flooding_and_trying_every_matching(answer, truth):
    ours, theirs = parts_of(answer), parts_of(truth)
    alike = {
        (i, j)
        for (i, a), (j, b) in itertools.product(enumerate(ours), enumerate(theirs))
        if 2 * len(a & b) / (len(a) + len(b)) >= 0.2
    }
    pairs = most_pairs(alike, list(range(len(theirs))))
    found = metrics.instances(answer, truth)
    assert (found.found, found.invented, found.missed) == (pairs, len(ours) - pairs, len(theirs) - pairs)


def test_parts_that_touch_by_a_corner_are_one():
    truth = np.zeros((6, 6, 6), bool)
    truth[:3, :3, :3] = truth[3:, 3:, 3:] = True
    answer = truth.copy()
    answer[:3, :3, :3] = False
    assert metrics.instances(answer, truth) == metrics.Instances(1, 0, 0)
    truth[3:, 3:, 3] = False
    assert metrics.instances(answer, truth) == metrics.Instances(1, 0, 1)
    assert metrics.instances(np.zeros_like(truth), np.zeros_like(truth)) == metrics.Instances(0, 0, 0)


@few
@given(st.integers(0, 5), st.integers(0, 4), st.integers(0, 3), st.integers(0, 9))
def test_a_random_region_by_drawing_all_there_are(size, inside, outside, more):
    pool = max(inside + more, 1)
    size, true = min(size, pool), inside + outside
    if true == 0:
        return
    draws = list(itertools.combinations([True] * inside + [False] * (pool - inside), size))
    dices = [2 * sum(draw) / (size + true) for draw in draws]
    found = metrics.random_overlap(size, inside, pool, true)
    assert found.dice == pytest.approx(np.mean(dices))
    assert found.touch == pytest.approx(np.mean([dice > 0 for dice in dices]))
    assert found.hit == pytest.approx(np.mean([dice >= 0.1 for dice in dices]))


@few
@given(hnp.arrays(np.float32, (7, 6, 5), elements=st.integers(-4, 4).map(lambda n: n / 4)), st.integers(0, 300))
def test_the_highest_voxels_by_sorting(heat, count):
    chosen = metrics.highest(heat, count)
    within = heat > -1
    assert chosen.sum() == min(count, within.sum())
    assert not (chosen & ~within).any()
    if chosen.any() and (within & ~chosen).any():
        assert heat[chosen].min() >= heat[within & ~chosen].max()


def test_the_highest_of_a_large_map():
    heat = np.random.default_rng(0).normal(0, 0.2, (40, 50, 60)).astype(np.float32)
    expected = heat >= np.sort(heat.ravel())[-77]
    assert np.array_equal(metrics.highest(heat, 77), expected)


@few
@given(affines, patches, hnp.arrays(np.float32, GRID, elements=st.floats(-1, 1, width=32)))
def test_a_map_on_the_masks_grid_is_looked_up_voxel_by_voxel(affine, patch_affine, scores):
    heatmap = Heatmap(scores, patch_affine, "")
    heat = metrics.voxel_heat(heatmap, Region(np.zeros(SHAPE, bool), affine))
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    expected = heatmap.sample(apply(affine, index))
    known = np.isfinite(expected)
    # On the very edge of the patches either is right.
    edge = np.abs(
        np.abs(apply(np.linalg.inv(patch_affine), apply(affine, index)) - (np.array(GRID) - 1) / 2) * 2 - GRID
    )
    sure = (edge > 1e-4).all(axis=-1)
    np.testing.assert_allclose(heat[known & sure], expected[known & sure], atol=1e-4)
    assert (heat[~known & sure] == -1).all()


@few
@given(masks, affines, patches)
def test_voxels_are_counted_in_the_patch_that_holds_them(mask, affine, patch_affine):
    region = Region(mask, affine)
    expected, everything = np.zeros(12, int), np.zeros(12, int)
    unsure = 0
    for voxel in itertools.product(*map(range, SHAPE)):
        at = np.linalg.inv(patch_affine) @ affine @ [*voxel, 1]
        unsure += (np.abs(np.abs(at[:3] % 1) - 0.5) < 1e-6).any()
        patch = np.floor(at[:3] + 0.5).astype(int)
        if ((patch >= 0) & (patch < GRID)).all():
            flat = (patch[0] * GRID[1] + patch[1]) * GRID[2] + patch[2]
            everything[flat] += 1
            expected[flat] += mask[voxel]
    if not unsure:
        assert np.array_equal(metrics.patch_counts(region, patch_affine, GRID), expected)
        assert np.array_equal(metrics.grid_counts(region, patch_affine, GRID), everything)


@few
@given(st.one_of(masks, sparse), affines, points)
def test_distances_by_looking_at_every_voxel(mask, affine, asked):
    away = metrics.distances_mm(asked, Region(mask, affine))
    centres = apply(affine, np.argwhere(mask))
    for point, found in zip(asked, away, strict=True):
        if not len(centres):
            assert math.isnan(found)
            continue
        at = np.linalg.inv(affine) @ [*point, 1]
        if (np.abs(np.abs(at[:3] % 1) - 0.5) < 1e-6).any():
            continue
        voxel = tuple(np.floor(at[:3] + 0.5).astype(int))
        expected = 0.0 if voxel in voxels_of(mask) else np.linalg.norm(centres - point, axis=1).min()
        assert found == pytest.approx(expected, abs=1e-9)


def test_distances_are_those_of_a_distance_transform_however_the_grid_is_turned():
    mask = np.zeros((12, 10, 8), bool)
    mask[3:6, 2:5, 4:6] = mask[9, 8, 1] = True
    spacing = (1.0, 2.0, 3.5)
    expected = ndimage.distance_transform_edt(~mask, sampling=spacing)
    for rotation in (None, (10.0, -20.0, 15.0)):
        affine = affine_of(order=(1, 0, 2), signs=(-1, 1, -1), spacing=spacing, rotation=rotation, shape=mask.shape)
        centres = apply(affine, np.stack(np.meshgrid(*map(np.arange, mask.shape), indexing="ij"), axis=-1))
        found = metrics.distances_mm(centres.reshape(-1, 3), Region(mask, affine))
        np.testing.assert_allclose(found.reshape(mask.shape), expected, atol=1e-9)


@few
@given(sparse, axis_orders, st.floats(0.6, 6), points)
def test_slices_by_looking_at_every_one(mask, turned, thickness, asked):
    spacing = [1.5, 1.5, 1.5]
    axis = turned[0].index(2)
    spacing[axis] = thickness
    affine = affine_of(order=turned[0], signs=turned[1], spacing=spacing, shape=SHAPE)
    found = metrics.slice_errors_mm(asked, Region(mask, affine))
    heights = {round(float(apply(affine, voxel)[2]), 6) for voxel in np.argwhere(mask)}
    for point, error in zip(asked, found, strict=True):
        if not heights:
            assert math.isnan(error)
            continue
        nearest = min(abs(point[2] - height) for height in heights)
        if abs(nearest - thickness / 2) > 1e-4:
            assert error == pytest.approx(0.0 if nearest < thickness / 2 else nearest, abs=1e-4)


@few
@given(axis_orders, st.one_of(st.none(), rotations))
def test_a_mirrored_mask_covers_the_same_voxels_of_the_mirrored_scan(turned, rotation):
    """Written into the scan, a mask is found again after mirroring, also where its own grid is another."""
    affine = affine_of(order=turned[0], signs=turned[1], spacing=(2, 2, 2), rotation=rotation, shape=(10, 12, 14))
    mask = np.zeros((10, 12, 14), bool)
    mask[1:4, 2:5, 3:9] = True
    scan = mirrored(Volume(mask.astype(np.int16), affine))
    turned_order = affine @ np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    for region in (Region(mask, affine), Region(mask.transpose(1, 0, 2), turned_order)):
        there = region.mirrored(Volume(mask.astype(np.int16), affine))
        index = np.rint(apply(np.linalg.inv(affine), apply(there.affine, np.argwhere(there.voxels)))).astype(int)
        again = np.zeros_like(mask)
        again[tuple(index.T)] = True
        assert np.array_equal(again, scan.voxels > 0)


def test_left_becomes_right_and_nothing_else_moves():
    scan = Volume(
        np.arange(5 * 4 * 6, dtype=np.int16).reshape(5, 4, 6), affine_of(signs=(-1, -1, 1), spacing=(2, 3, 4))
    )
    assert np.array_equal(mirrored(scan).voxels, scan.voxels[::-1])
    assert np.array_equal(mirrored(scan).affine, scan.affine)


def test_a_volume_in_ml():
    assert Region(np.ones((10, 10, 10), bool), affine_of(spacing=(1, 2, 0.5), rotation=(5, 6, 7))).ml == pytest.approx(
        1
    )
