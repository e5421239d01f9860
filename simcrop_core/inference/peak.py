"""Where between the patches a map is highest: finer than a patch, at no cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Patches that hold only padding have this score (`grounding.Similarity`).
_NO_SCAN = -1.0


def peak_between(map_XYZ: NDArray[np.floating], best: tuple[int, int, int]) -> NDArray[np.float64]:
    """(3,) index of a map's peak, a fraction of a patch from its best one.

    Axis by axis, where the parabola through the best patch and its two neighbours is highest: at most half a patch
    away. At the map's edge, and beside padding, the patch's own centre. What it gains is measured in
    docs/methods/grounding.md.

    Args:
        map_XYZ: scores on the patch grid.
        best: index of the patch with the highest score.
    """
    index = np.array(best, dtype=np.float64)
    for axis, at in enumerate(best):
        line = map_XYZ[tuple(slice(None) if a == axis else p for a, p in enumerate(best))]
        if 0 < at < len(line) - 1:
            before, here, after = (float(v) for v in line[at - 1 : at + 2])
            bend = before - 2 * here + after
            if min(before, after) > _NO_SCAN and bend < 0:
                index[axis] += 0.5 * (before - after) / bend
    return index
