"""How much of a scan a picture shows."""

from __future__ import annotations

import numpy as np

from simcrop_core.export.planes import Bounds, Point
from simcrop_core.imaging.heatmap import Heatmap, grid_bounds_ras_mm
from simcrop_core.imaging.sampling import sample
from simcrop_core.imaging.volume import Volume

MARGIN_MM = 24.0  # a patch
COARSE_MM, BODY_HU = 8.0, -300.0
TABLE_SHARE = 0.05  # a plane with less body than this holds only table, tubes or a raised arm


def shown_bounds(volume: Volume, heatmap: Heatmap | None, peak: Point | None) -> Bounds:
    """The box to show: the body, as far as the model saw it and a patch more; the peak in any case."""
    bounds = grid_bounds_ras_mm(volume.shape, volume.affine)
    if heatmap is not None:
        seen = heatmap.bounds_ras_mm()
        bounds = np.stack([np.maximum(bounds[0], seen[0] - MARGIN_MM), np.minimum(bounds[1], seen[1] + MARGIN_MM)])
    body = _body(volume, bounds)
    if peak is None:
        return body
    return np.stack([np.minimum(body[0], np.subtract(peak, MARGIN_MM)), np.maximum(body[1], np.add(peak, MARGIN_MM))])


def _body(volume: Volume, bounds: Bounds) -> Bounds:
    """The part of a box that is not just air and table; the box itself where there is no body in it."""
    steps = [np.arange(low + COARSE_MM / 2, high, COARSE_MM) for low, high in bounds.T]
    body = (
        sample(volume.voxels, volume.affine, np.stack(np.meshgrid(*steps, indexing="ij"), -1), outside=-1024) > BODY_HU
    )
    trimmed = bounds.copy()
    for axis in range(3):
        share = body.mean(axis=tuple({0, 1, 2} - {axis}))
        kept = np.flatnonzero(share > TABLE_SHARE)
        if kept.size:
            trimmed[:, axis] = steps[axis][kept[0]] - MARGIN_MM / 2, steps[axis][kept[-1]] + MARGIN_MM / 2
    return np.stack([np.maximum(trimmed[0], bounds[0]), np.minimum(trimmed[1], bounds[1])])
