"""Cheap changes of a frame while training: shift, density, noise, blur, a shorter field of view. Never a flip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simcrop_training.data.sample import CELL, CELLS, Sample, Truth

_AIR = -1000
_NOISE = np.random.default_rng(0).standard_normal(1 << 23).astype(np.float16)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly frames are changed.

    Attributes:
        shift_cells: largest shift along each axis, in cells of 6 mm.
        cut_rate: share of frames whose field of view is cut short at one end.
        gain: spread of the factor on HU + 1000.
        offset_hu: spread of the offset.
        noise_hu: largest noise added.
        blur_rate: share of frames averaged over neighbouring slices.
    """

    shift_cells: tuple[int, int, int] = (4, 4, 5)
    cut_rate: float = 0.25
    gain: float = 0.04
    offset_hu: float = 15.0
    noise_hu: float = 40.0
    blur_rate: float = 0.3


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
    values = image.astype(np.float32)
    if rng.random() < how.blur_rate:
        values[:, :, 1:-1] = 0.25 * values[:, :, :-2] + 0.5 * values[:, :, 1:-1] + 0.25 * values[:, :, 2:]
    values += 1000
    values *= np.float32(1 + rng.normal(0, how.gain))
    values += np.float32(rng.normal(0, how.offset_hu) - 1000)
    start = int(rng.integers(0, _NOISE.size - values.size))
    values += np.float32(rng.uniform(0, how.noise_hu)) * _NOISE[start : start + values.size].reshape(values.shape)
    changed: NDArray[np.int16] = np.clip(values, -1024, 3071).astype(np.int16)
    return changed
