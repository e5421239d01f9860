"""How far an answer is from a mask (docs/benchmarks/grounding.md gives every formula)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.stats import hypergeom

from simcrop_core.demo.measure import dice
from simcrop_core.export.full_resolution import OUTSIDE, slices
from simcrop_core.imaging.affine import Affine, apply, spacing_mm
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.volume import Volume
from simcrop_training.evaluate.grounding_benchmark.masks import Region, box_of

# Of ReXGroundingCT's leaderboard (rexrank.ai/ReXGroundingCT): the least Dice of a hit, and of an instance found.
HIT_DICE, INSTANCE_DICE = 0.1, 0.2
_TOUCHING = np.ones((3, 3, 3), dtype=bool)
# Of the voxels of a map, one in so many is looked at to guess where the highest begin.
_GUESS_STEP, _GUESS_ROOM = 97, 1.5
_POINTS_AT_ONCE = 2**20
# A point on the face of a voxel may be computed so far beside it, in voxels.
_ON_FACE = 1e-6


@dataclass(frozen=True, slots=True)
class Instances:
    """Connected parts: found, wrongly said to be there, missed."""

    found: int
    invented: int
    missed: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two regions have in common.

    Attributes:
        dice: 2 |A ∩ B| / (|A| + |B|).
        hit: Dice of `HIT_DICE` or more.
        touch: any voxel in common.
    """

    dice: float
    hit: float
    touch: float


def overlap(answer: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Overlap:
    """Of a region answered with a true one that is not empty."""
    value = dice(answer, truth)
    return Overlap(value, float(value >= HIT_DICE), float(value > 0))


def random_overlap(size: int, true_inside: int, pool: int, true: int) -> Overlap:
    """What `size` voxels drawn from `pool` without replacement give on average, of which `true_inside` are true.

    Exact: Dice is linear in the number of true voxels drawn, which is hypergeometric.

    Args:
        size: voxels drawn; more than the pool holds are the whole pool.
        true_inside: true voxels in the pool.
        pool: voxels to draw from.
        true: all true voxels.
    """
    size = min(size, pool)
    if size == 0 or true_inside == 0:
        return Overlap(0.0, 0.0, 0.0)
    least = max(1, math.ceil(HIT_DICE * (size + true) / 2 - 1e-9))
    hit, touch = (float(hypergeom.sf(n - 1, pool, true_inside, size)) for n in (least, 1))
    return Overlap(2 * size * true_inside / pool / (size + true), hit, touch)


def instances(answer: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Instances:
    """Connected parts (26 neighbours), matched one to one in as many pairs of Dice `INSTANCE_DICE` and more as can."""
    box = box_of(answer | truth)
    if box is None:
        return Instances(0, 0, 0)
    (ours, answered), (theirs, true) = (ndimage.label(mask[box], structure=_TOUCHING) for mask in (answer, truth))
    both = (ours > 0) & (theirs > 0)
    pairs, common = np.unique(np.stack([ours[both], theirs[both]]), axis=1, return_counts=True)
    sizes = np.bincount(ours.ravel(), minlength=answered + 1), np.bincount(theirs.ravel(), minlength=true + 1)
    matches = np.zeros((answered, true))
    alike = 2 * common / (sizes[0][pairs[0]] + sizes[1][pairs[1]]) >= INSTANCE_DICE
    matches[pairs[0][alike] - 1, pairs[1][alike] - 1] = 1
    found = int(matches[linear_sum_assignment(matches, maximize=True)].sum())
    return Instances(found, answered - found, true - found)


def voxel_heat(heatmap: Heatmap, region: Region) -> NDArray[np.float32]:
    """(x, y, z) the heatmap on the grid of a mask, trilinear as the engine writes it; −1 beyond the patches."""
    grid = Volume(np.broadcast_to(np.zeros((), np.int16), region.voxels.shape), region.affine)
    heat = np.empty(grid.shape, dtype=np.float32, order="F")
    for k, plane in enumerate(slices(heatmap, grid)):
        heat[:, :, k] = plane
    return heat


def highest(heat: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """The `count` voxels of the highest values, ties by z, y, x; fewer where fewer lie within the patches."""
    values = heat.ravel(order="F")
    chosen = np.zeros(values.size, dtype=bool)
    candidates = _candidates(values, count)
    count = min(count, candidates.size)
    if count:
        among = values[candidates]
        least = -np.partition(-among, count - 1)[count - 1]
        above = candidates[among > least]
        chosen[above] = True
        chosen[candidates[among == least][: count - above.size]] = True
    return chosen.reshape(heat.shape, order="F")


def _candidates(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Numbers of voxels among which the `count` highest are; not many more than these, of a large map."""
    some = values[::_GUESS_STEP]
    share = _GUESS_ROOM * count / values.size
    if share < 1:
        guessed = np.flatnonzero(values >= max(np.quantile(some, 1 - share), np.nextafter(np.float32(OUTSIDE), 1)))
        if guessed.size >= count:
            return guessed
    return np.flatnonzero(values > OUTSIDE)


def patch_counts(region: Region, affine: Affine, grid: tuple[int, int, int]) -> NDArray[np.int64]:
    """(N,) how many voxels of a region have their centre in each patch.

    Args:
        region: on its own grid.
        affine: patch index → patient RAS of the patch's centre, mm.
        grid: patches along each axis.
    """
    counts = np.zeros(math.prod(grid), dtype=np.int64)
    region = region.cropped
    for index in _in_parts(np.argwhere(region.voxels)):
        counts += _counted(apply(region.affine, index), affine, grid)
    return counts


def grid_counts(region: Region, affine: Affine, grid: tuple[int, int, int]) -> NDArray[np.int64]:
    """(N,) how many voxels of the region's whole grid, in it or not, have their centre in each patch."""
    to_patch = np.linalg.inv(affine) @ region.affine
    shape = region.voxels.shape
    along = np.abs(to_patch[:3, :3]).argmax(axis=0)
    across = np.abs(to_patch[:3, :3]) * shape
    across[along, [0, 1, 2]] = 0
    if sorted(along) == [0, 1, 2] and across.max() < 1e-5:
        numbers = [np.empty(0, dtype=np.int64)] * 3
        for axis, patches in enumerate(along):
            at = np.rint(to_patch[patches, axis] * np.arange(shape[axis]) + to_patch[patches, 3]).astype(int)
            numbers[patches] = np.bincount(at[(at >= 0) & (at < grid[patches])], minlength=grid[patches])
        x, y, z = numbers
        return (x[:, None, None] * y[None, :, None] * z[None, None, :]).ravel()
    counts = np.zeros(math.prod(grid), dtype=np.int64)
    plane = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), axis=-1).reshape(-1, 2)
    for k in range(shape[2]):
        points = apply(region.affine, np.column_stack([plane, np.full(len(plane), k)]))
        counts += _counted(points, affine, grid)
    return counts


def _counted(points_ras_mm: NDArray[np.float64], affine: Affine, grid: tuple[int, int, int]) -> NDArray[np.int64]:
    index = np.rint(index_in(affine, points_ras_mm)).astype(np.int64)
    index = index[((index >= 0) & (index < grid)).all(axis=1)]
    return np.bincount(np.ravel_multi_index(tuple(index.T), grid), minlength=math.prod(grid))


def _in_parts(index: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(index), _POINTS_AT_ONCE):
        yield index[start : start + _POINTS_AT_ONCE]


def distances_mm(points_ras_mm: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """(P,) from each point to the centre of the nearest voxel; 0 in or on a voxel, NaN where the region is empty."""
    if not region.voxels.any():
        return np.full(len(points_ras_mm), np.nan)
    near = region.cropped
    inner = ndimage.binary_erosion(near.voxels, structure=_TOUCHING, border_value=0)
    surface = apply(near.affine, np.argwhere(near.voxels & ~inner))
    away = np.asarray(cKDTree(surface).query(points_ras_mm)[0], dtype=np.float64)
    away[_inside(points_ras_mm, region)] = 0.0
    return away


def _inside(points_ras_mm: NDArray[np.float64], region: Region) -> NDArray[np.bool_]:
    """(P,) whether a voxel of the region holds each point, or touches it."""
    at = index_in(region.affine, points_ras_mm)
    inside = np.zeros(len(at), dtype=bool)
    for aside in itertools.product((-_ON_FACE, _ON_FACE), repeat=3):
        index = np.rint(at + aside).astype(int)
        on_grid = ((index >= 0) & (index < region.voxels.shape)).all(axis=1)
        inside[on_grid] |= region.voxels[tuple(index[on_grid].T)]
    return inside


def slice_errors_mm(points_ras_mm: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """(P,) from each point to the middle of the nearest slice that the region is in, across the slices.

    Slices are planes of voxels along the array axis nearest to head-feet; 0 where the point is inside of such a slice
    or on its face, NaN where the region is empty.
    """
    axis = int(np.abs(region.affine[2, :3] / spacing_mm(region.affine)).argmax())
    held = np.flatnonzero(np.any(region.voxels, axis=tuple({0, 1, 2} - {axis})))
    if not held.size:
        return np.full(len(points_ras_mm), np.nan)
    at = index_in(region.affine, points_ras_mm)[:, axis]
    apart = np.abs(at[:, None] - held[None, :]).min(axis=1)
    first, second = (region.affine[:3, other] for other in {0, 1, 2} - {axis})
    normal = np.cross(first, second)
    thickness = abs(float(region.affine[:3, axis] @ normal)) / float(np.linalg.norm(normal))
    away: NDArray[np.float64] = np.where(apart <= 0.5 + _ON_FACE, 0.0, apart * thickness)
    return away
