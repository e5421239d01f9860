"""What a scanner adds: field of view, blur or sharpening, thick slices, noise with its texture, drift, streaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, label

from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.space import Field, Grid, Mask, spread

_OUTSIDE_HU = -1024
_OWN_EXTENT = 0.4
# Streaks leave what is denser than any bone; of many pieces in a slice the largest few count.
_METAL_HU, _MOST_PIECES = 2000.0, 4
_STREAK_REACH_MM, _STREAK_HU, _STREAKS = 35.0, (60.0, 260.0), 4


@dataclass(frozen=True, slots=True)
class View:
    """What of the body is scanned, mm about the grid's centre.

    Attributes:
        low: lowest level.
        high: highest level.
        radius: of the reconstructed circle.
    """

    low: float
    high: float
    radius: float

    def inside(self, grid: Grid) -> Mask | None:
        """The voxels that are scanned; None where all of them are."""
        x, y, z = grid.axes()
        if np.hypot(x.max(), y.max()) < self.radius and self.low < z.min() and z.max() < self.high:
            return None
        mask: Mask = (np.hypot(x, y) < self.radius) & (z > self.low) & (z < self.high)
        return mask


def draw_view(body: Body) -> View:
    """Mostly the whole chest; now and then a circle cuts the body wall, or bases or apices are cut off."""
    rng = body.stream("view")
    bases, apices, circle = rng.random(3)
    low, high, radius = rng.uniform(-95, -60), rng.uniform(80, 115), rng.uniform(158, 235)
    return View(low if bases < 0.1 else -1e3, high if apices < 0.07 else 1e3, radius if circle < 0.4 else 1e3)


def scanned(image: Field, grid: Grid, drawn: Grid, body: Body, view: View) -> NDArray[np.int16]:
    """A reconstruction of an image as int16 HU in −1024…3071.

    Args:
        image: HU, changed in place.
        grid: of the image.
        drawn: that its shapes were drawn on.
        body: who was drawn.
        view: the field of view.
    """
    drawn_mm = drawn.spacing_mm
    rng = body.stream("scanner")
    sharp = rng.random() < 0.35
    kernel_mm = rng.uniform(0.45, 0.75) if sharp else rng.uniform(0.6, 1.3)
    thick_mm = rng.uniform(0.5, 1.6) if rng.random() < 0.75 else rng.uniform(1.6, 3.5)
    level = float(np.exp(rng.uniform(np.log(4), np.log(32)))) * (1.3 if sharp else 1.0)
    grain_mm, drift, edge = rng.uniform(0.6, 1.6) * (0.7 if sharp else 1.0), rng.normal(0, 5), rng.uniform(0.3, 0.8)
    uneven = rng.uniform(0.75, 1.2, (5, 5, 5))
    _add_streaks(image, grid, body.stream("streaks"))
    for axis, mm in ((0, kernel_mm), (1, kernel_mm), (2, thick_mm)):
        # Shapes were drawn voxel by voxel: a voxel's own extent blurs them too.
        _blur(image, float(np.hypot(mm, _OWN_EXTENT * drawn_mm[axis])) / grid.spacing_mm[axis], axis)
    if sharp:
        soft = image.copy()
        for axis in (0, 1):
            _blur(soft, 1.2 / grid.spacing_mm[axis], axis)
        image += np.float32(edge) * (image - soft)
        del soft
    _add_noise(image, grid, rng, level, grain_mm, np.float32(drift), uneven)
    inside = view.inside(grid)
    if inside is not None:
        image[~inside] = _OUTSIDE_HU
    np.clip(image, _OUTSIDE_HU, 3071, out=image)
    np.rint(image, out=image)
    return image.astype(np.int16)


def _add_noise(
    image: Field,
    grid: Grid,
    rng: np.random.Generator,
    level: float,
    grain_mm: float,
    drift: np.float32,
    uneven: NDArray[np.float64],
) -> None:
    """Add grainy noise of a level (HU), uneven over the body, a slab of slices at a time."""
    # The same dose gives voxels of a frame less noise than the smaller ones of a whole scan.
    grain = max(grain_mm / grid.spacing_mm[0], 0.35)
    slices = 38
    for start in range(0, grid.shape[2], slices):
        slab = (slice(None), slice(None), slice(start, min(start + slices, grid.shape[2])))
        noise = rng.standard_normal(image[slab].shape, dtype=np.float32)
        for axis in (0, 1):
            _blur(noise, grain, axis)
        noise *= np.float32(level / noise[::9, ::9, ::5].std()) * spread(uneven, grid, slab)
        noise += drift
        image[slab] += noise


def _add_streaks(image: Field, grid: Grid, rng: np.random.Generator) -> None:
    """Bright and dark rays about metal in the plane of slices, fading with the distance."""
    strength, rays = rng.uniform(*_STREAK_HU), rng.integers(2, 9, _STREAKS)
    phases, turn = rng.uniform(0, 2 * np.pi, _STREAKS), rng.uniform(-0.08, 0.08, _STREAKS)
    x, y, _ = (axis[:, :, 0] for axis in grid.axes())
    for z in np.flatnonzero((image > _METAL_HU).any((0, 1))):
        pieces, count = label(image[:, :, z] > _METAL_HU)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        for piece in np.argsort(sizes)[::-1][:_MOST_PIECES] + 1:
            i, j = (float(v.mean()) for v in np.nonzero(pieces == piece))
            dx = x - np.float32((i - (grid.shape[0] - 1) / 2) * grid.spacing_mm[0])
            dy = y - np.float32((j - (grid.shape[1] - 1) / 2) * grid.spacing_mm[1])
            away, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
            across_mm = float(np.sqrt(sizes[piece - 1] * grid.spacing_mm[0] * grid.spacing_mm[1]))
            waves = sum(
                np.cos(np.float32(n) * angle + np.float32(p + z * grid.spacing_mm[2] * t))
                for n, p, t in zip(rays, phases, turn, strict=True)
            )
            fade = np.float32(strength * min(across_mm / 8, 1.5)) * np.exp(-away / np.float32(_STREAK_REACH_MM))
            image[:, :, z] += np.where(pieces == piece, 0, fade * waves / np.float32(np.sqrt(_STREAKS)))


def _blur(image: Field, sigma: float, axis: int) -> None:
    if sigma > 0.2:
        gaussian_filter1d(image, sigma, axis=axis, output=image, truncate=2.5)
