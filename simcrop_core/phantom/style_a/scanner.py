"""What a scanner adds to the truth: field of view, blur or sharpening, thick slices, noise with its texture, drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.space import Field, Grid, Mask, spread

_OUTSIDE_HU = -1024
_OWN_EXTENT = 0.4


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


def _blur(image: Field, sigma: float, axis: int) -> None:
    if sigma > 0.2:
        gaussian_filter1d(image, sigma, axis=axis, output=image, truncate=2.5)
