"""What the scanner makes of the body: blur of kernel and slice, edges lifted, streaks and coloured noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from simcrop_core.phantom.style_b.space import Grid, Image, stream
from simcrop_core.phantom.style_b.subject import Subject

_POOL = 24
PADDING_HU = -1024


def blurred(image: Image, grid: Grid, subject: Subject) -> Image:
    """The image as the kernel and the slice thickness leave it."""
    step_x, step_y, step_z = grid.spacing_mm
    out = image
    for axis, step in ((0, step_x), (1, step_y)):
        out = gaussian_filter1d(out, subject.blur_mm / step, axis=axis, truncate=3.0)
    if subject.thickness_mm > 1.2 * step_z:
        out = gaussian_filter1d(out, subject.thickness_mm / 2.6 / step_z, axis=2, truncate=2.5)
    if subject.sharpen > 0:
        soft = gaussian_filter1d(out, 1.3 / step_x, axis=0, truncate=2.0)
        soft = gaussian_filter1d(soft, 1.3 / step_y, axis=1, truncate=2.0)
        out = out + np.float32(subject.sharpen) * (out - soft)
    return np.asarray(out, dtype=np.float32)


def noise_slices(shape_xy: tuple[int, int], spacing_mm: float, subject: Subject, seed: int) -> Image:
    """(X, Y, P) slices of noise with the rising and falling spectrum of filtered back-projection, deviation 1."""
    rng = stream(seed, "noise")
    fx = np.fft.fftfreq(shape_xy[0], spacing_mm)[:, None]
    fy = np.fft.rfftfreq(shape_xy[1], spacing_mm)[None, :]
    f = np.hypot(fx, fy)
    cut = 0.35 if subject.sharpen > 0 else 0.2
    spectrum = ((0.02 + f) * np.exp(-((f / cut) ** 2))).astype(np.float32)
    streaks = 1 + 0.8 * np.exp(-((fx / 0.02) ** 2))  # more noise along the shoulders' axis
    white = rng.standard_normal((_POOL, *shape_xy), dtype=np.float32)
    shaped = fft.irfft2(fft.rfft2(white) * (spectrum * streaks).astype(np.float32), s=shape_xy)
    shaped /= shaped.std()
    return np.ascontiguousarray(shaped.transpose(1, 2, 0).astype(np.float32))


def digitised(image: Image, spacing_mm: tuple[float, float, float], subject: Subject, seed: int) -> NDArray[np.int16]:
    """Add noise, stronger through the shoulders, cut the reconstructed circle, and round to int16 HU.

    Args:
        image: (X, Y, Z) HU without noise.
        spacing_mm: of that image.
        subject: who and how.
        seed: the phantom's.
    """
    rng = stream(seed, "slices")
    pool = noise_slices(image.shape[:2], spacing_mm[0], subject, seed)
    order = rng.integers(0, _POOL, image.shape[2])
    height = (np.arange(image.shape[2]) - (image.shape[2] - 1) / 2) * spacing_mm[2]
    strength = subject.noise_hu * (1 + 0.9 / (1 + np.exp(-(height - 95) / 12))) * rng.choice([-1, 1], image.shape[2])
    pool_of = strength.astype(np.float32)
    x, y = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(image.shape[:2], spacing_mm[:2], strict=True))
    out = np.empty(image.shape, dtype=np.int16)
    for i in range(image.shape[0]):
        slab = image[i] + pool[i][:, order] * pool_of
        np.clip(np.rint(slab, out=slab), PADDING_HU, 3071, out=slab)
        slab[np.hypot(x[i], y) > subject.field_mm] = PADDING_HU
        out[i] = slab
    return out
