"""Cheap changes of a frame while training: shift, densities, kernel, noise, a shorter field of view. Never a flip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simcrop_training.data.sample import CELL, CELLS, Sample, Truth

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
        cut_rate: share of frames whose field of view is cut short at one end.
        densities: how far tissues' densities move, each on its own, as a factor on what is usual between scanners.
        noise_hu: largest noise added.
        blur_rate: share of frames averaged over neighbouring slices.
        kernel: largest share of in-plane blur (a soft kernel) or of its opposite (a sharp one).
    """

    shift_cells: tuple[int, int, int] = (4, 4, 5)
    cut_rate: float = 0.25
    densities: float = 1.0
    noise_hu: float = 50.0
    blur_rate: float = 0.3
    kernel: float = 0.6


def augmented(sample: Sample, how: Augmentation, rng: np.random.Generator) -> Sample:
    """A changed copy; sentences that lost more than half of their place are dropped."""
    shift = np.array([rng.integers(-s, s + 1) for s in how.shift_cells])
    low, high = _window(rng, shift, how.cut_rate)
    image = np.full_like(sample.image, _AIR)
    labels = np.zeros_like(sample.labels)
    to = tuple(slice(int(a) * c, int(b) * c) for a, b, c in zip(low, high, CELL, strict=True))
    source = tuple(slice(int(a) * c, int(b) * c) for a, b, c in zip(low - shift, high - shift, CELL, strict=True))
    image[to], labels[to] = sample.image[source], sample.labels[source]
    truths = tuple(t for t in (_moved(t, shift, low, high) for t in sample.truths) if t is not None)
    return replace(sample, image=_densities(image, how, rng), labels=labels, truths=truths)


def _window(
    rng: np.random.Generator, shift: NDArray[np.int64], cut_rate: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells, low and high, of the shifted frame that still show the scan."""
    low, high = np.maximum(shift, 0), np.minimum(np.array(CELLS) + shift, CELLS)
    if rng.random() < cut_rate:
        axis = int(rng.choice(3, p=[0.15, 0.15, 0.7]))
        cells = int(rng.integers(3, 14))
        if rng.random() < 0.5:
            low[axis] += cells
        else:
            high[axis] -= cells
    return low, high


def _moved(truth: Truth, shift: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> Truth | None:
    if not truth.cells.size:
        return truth
    at = np.stack(np.unravel_index(truth.cells, CELLS)) + shift[:, None]
    inside = ((at >= low[:, None]) & (at < high[:, None])).all(0)
    if 2 * truth.counts[inside].sum() < truth.counts.sum():
        return None
    cells = np.ravel_multi_index(tuple(at[:, inside]), CELLS).astype(np.int32)
    return replace(truth, cells=cells, counts=truth.counts[inside])


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
