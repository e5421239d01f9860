"""The outline of a patient, by threshold: what is not air, without the table, with all that lies inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_TISSUE_HU = -300.0
# A table top is thinner than twice this, the bridges by which it touches the back too.
_THIN_MM = 5.0


def body_of(image: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Voxels of the body: the largest piece of tissue that is not thin in the plane of slices, its holes filled.

    Args:
        image: (x, y, z) HU.
        spacing_mm: along x, y, z.
    """
    tissue = image > _TISSUE_HU
    plane = ndimage.generate_binary_structure(2, 1)[:, :, None]
    steps = max(1, round(_THIN_MM / min(spacing_mm[:2])))
    pieces, count = ndimage.label(ndimage.binary_erosion(tissue, plane, iterations=steps, border_value=1))
    if not count:
        return np.zeros(image.shape, dtype=bool)
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    body: NDArray[np.bool_] = ndimage.binary_dilation(largest, plane, iterations=steps + 1) & tissue
    for z in range(body.shape[2]):
        body[:, :, z] = ndimage.binary_fill_holes(body[:, :, z])
    return body
