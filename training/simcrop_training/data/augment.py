"""Cheap changes of a frame while training: size, shift, densities, kernel, noise, field of view. Never a flip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from simcrop_training.data.sample import CELL, CELLS, Sample, Truth

_T = TypeVar("_T", bound=np.generic)
_AIR = -1000
_NOISE = np.random.default_rng(0).standard_normal(1 << 23, dtype=np.float32)
_LOWEST, _HIGHEST = -1024, 3071
# How far the density of each tissue may move, HU: air, lung, its dense parts, fat, muscle and blood, contrast, bone.
_TISSUE_HU = np.array([_LOWEST, -1000.0, -850.0, -500.0, -100.0, 50.0, 250.0, 1200.0, _HIGHEST])
_SPREAD_HU = np.array([0.0, 8.0, 35.0, 60.0, 20.0, 15.0, 60.0, 150.0, 0.0])


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly frames are changed.

    Attributes:
        shift_cells: largest shift along each axis, in cells of 6 mm.
        zoom: largest relative change of size along each axis, each on its own.
        cut_rate: share of frames whose field of view is cut short at one end.
        densities: how far tissues' densities move, each on its own, as a factor on what is usual between scanners.
        noise_hu: largest noise added.
        blur_rate: share of frames averaged over neighbouring slices.
        kernel: largest share of in-plane blur (a soft kernel) or of its opposite (a sharp one).
    """

    shift_cells: tuple[int, int, int] = (4, 4, 5)
    zoom: float = 0.12
    cut_rate: float = 0.25
    densities: float = 1.0
    noise_hu: float = 50.0
    blur_rate: float = 0.3
    kernel: float = 0.6


def augmented(sample: Sample, how: Augmentation, rng: np.random.Generator) -> Sample:
    """A changed copy; sentences that lost more than half of their place are dropped."""
    shift = np.array([rng.integers(-s, s + 1) for s in how.shift_cells])
    zoom = 1 + rng.uniform(-how.zoom, how.zoom, 3)
    shown = _shown(rng, how.cut_rate)
    axes = [_Axis(*values) for values in zip(CELLS, CELL, shift, zoom, shown, strict=True)]
    voxels = [axis.voxels() for axis in axes]
    image, labels = _gathered(sample.image, voxels, _AIR), _gathered(sample.labels, voxels, 0)
    cells = [axis.cells() for axis in axes]
    kept = float(zoom.prod()) / 2
    truths = tuple(t for t in (_moved(t, cells, kept) for t in sample.truths) if t is not None)
    return replace(sample, image=_densities(image, how, rng), labels=labels, truths=truths)


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis of the changed frame looks into the stored one: `count` cells of `size` voxels.

    Attributes:
        shift: of the middle, in cells.
        zoom: factor of size.
        shown: cells, from and to, that the shorter field of view leaves.
    """

    count: int
    size: int
    shift: int
    zoom: float
    shown: tuple[int, int]

    def cells(self) -> NDArray[np.intp]:
        """The stored cell that each cell shows; −1 where it shows none."""
        return self._looked_up(self.count, 1)

    def voxels(self) -> NDArray[np.intp]:
        """The same of voxels."""
        return self._looked_up(self.count * self.size, self.size)

    def _looked_up(self, length: int, per_cell: int) -> NDArray[np.intp]:
        middle = length / 2
        at = np.floor((np.arange(length) + 0.5 - middle - self.shift * per_cell) / self.zoom + middle).astype(np.intp)
        seen = (at >= 0) & (at < length)
        seen[: self.shown[0] * per_cell] = False
        seen[self.shown[1] * per_cell :] = False
        return np.where(seen, at, -1)


def _gathered(array: NDArray[_T], at: Sequence[NDArray[np.intp]], fill: int) -> NDArray[_T]:
    """The array looked up along each axis, `fill` where an index is −1."""
    spans = [slice(*np.flatnonzero(index >= 0)[[0, -1]] + (0, 1)) for index in at]
    out = np.full([len(index) for index in at], fill, dtype=array.dtype)
    for axis, (index, span) in enumerate(zip(at, spans, strict=True)):
        array = array.take(index[span], axis)
    out[tuple(spans)] = array
    return out


def _shown(rng: np.random.Generator, cut_rate: float) -> list[tuple[int, int]]:
    """Cells, from and to, of each axis that the field of view shows."""
    shown = [(0, count) for count in CELLS]
    if rng.random() < cut_rate:
        axis = int(rng.choice(3, p=[0.15, 0.15, 0.7]))
        cells = int(rng.integers(3, 14))
        shown[axis] = (cells, CELLS[axis]) if rng.random() < 0.5 else (0, CELLS[axis] - cells)
    return shown


def _moved(truth: Truth, at: Sequence[NDArray[np.intp]], kept: float) -> Truth | None:
    """A truth where the cells now are; None if less than `kept` times its volume is left."""
    if not truth.cells.size:
        return truth
    counts = np.zeros(CELLS, np.uint8)
    counts.flat[truth.cells] = truth.counts
    moved = _gathered(counts, at, 0).ravel()
    if moved.sum(dtype=np.int64) < kept * truth.counts.sum(dtype=np.int64):
        return None
    cells = np.flatnonzero(moved).astype(np.int32)
    return replace(truth, cells=cells, counts=moved[cells])


def _densities(image: NDArray[np.int16], how: Augmentation, rng: np.random.Generator) -> NDArray[np.int16]:
    values = np.take(_curve(how.densities, rng), image - _LOWEST)
    if rng.random() < how.blur_rate:
        values[:, :, 1:-1] = 0.25 * values[:, :, :-2] + 0.5 * values[:, :, 1:-1] + 0.25 * values[:, :, 2:]
    blur = np.float32(rng.uniform(-how.kernel, how.kernel))
    for axis in (0, 1):
        inner, before, after = (_along(axis, part) for part in (slice(1, -1), slice(-2), slice(2, None)))
        values[inner] += blur / 2 * ((values[before] + values[after]) / 2 - values[inner])
    start = int(rng.integers(0, _NOISE.size - values.size))
    values += np.float32(rng.uniform(0, how.noise_hu)) * _NOISE[start : start + values.size].reshape(values.shape)
    changed: NDArray[np.int16] = np.clip(values, _LOWEST, _HIGHEST).astype(np.int16)
    return changed


def _curve(densities: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The new density of every HU from the lowest to the highest; it never falls."""
    moved = np.maximum.accumulate(_TISSUE_HU + densities * rng.normal(0, _SPREAD_HU))
    return np.interp(np.arange(_LOWEST, _HIGHEST + 1), _TISSUE_HU, moved).astype(np.float32)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if a == axis else slice(None) for a in range(3))
