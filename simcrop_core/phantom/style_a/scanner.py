"""What a scanner adds to the truth: blur, thick slices, noise with its texture, drift, and the edge of its field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from simcrop_core.phantom.style_a.space import SHAPE, Field, frame_axes, upsampled


def scanned(image: Field, rng: np.random.Generator) -> NDArray[np.int16]:
    """A reconstruction of an image (HU, changed in place) as int16 HU in −1024…3071."""
    kernel, thick = rng.uniform(0.35, 0.9), rng.uniform(0.25, 0.7) if rng.random() < 0.75 else rng.uniform(0.7, 1.5)
    for axis, sigma in ((0, kernel), (1, kernel), (2, thick)):
        gaussian_filter1d(image, sigma, axis=axis, output=image, truncate=3.0)
    noise = rng.standard_normal(SHAPE, dtype=np.float32)
    grain = rng.uniform(0.4, 1.1)
    for axis in (0, 1):
        gaussian_filter1d(noise, grain, axis=axis, output=noise, truncate=2.5)
    level = float(np.exp(rng.uniform(np.log(6), np.log(45))))
    noise *= np.float32(level / noise[::9, ::9, ::5].std())
    # Rays through the body's long axis arrive weaker: noise and beam hardening grow towards its middle.
    noise *= upsampled(0.8 + 0.35 * rng.random((3, 3, 4)), SHAPE)
    image += noise
    image += np.float32(rng.normal(0, 6))
    if rng.random() < 0.4:
        x, y, _ = frame_axes()
        image[np.broadcast_to(np.hypot(x, y) > rng.uniform(155, 235), SHAPE)] = -1024
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)
