"""One sentence's scores over the patches of a scan, and what their colours mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcrop_core.imaging.affine import Affine, apply, spacing_mm
from simcrop_core.imaging.sampling import sample


@dataclass(frozen=True, slots=True)
class ColourScale:
    """What the colours of a heatmap mean: one fixed scale for a set of weights, never a map's own range.

    Attributes:
        low: the threshold; scores below it are not drawn.
        high: scores from here on have the strongest colour.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        assert self.low < self.high, f"a colour scale runs upwards, not from {self.low} to {self.high}"

    def position(self, scores: ArrayLike) -> NDArray[np.float32]:
        """Where scores lie on the scale, 0 at `low` to 1 at `high` and above; NaN where nothing is drawn."""
        scores = np.asarray(scores, dtype=np.float32)
        along = np.clip((scores - self.low) / (self.high - self.low), 0.0, 1.0)
        return np.where(scores >= self.low, along, np.nan).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Cosine similarity of one sentence with every patch of a scan (paper Eq. 2: docs/methods/simcrop.md).

    Attributes:
        scores: (X, Y, Z) float32, finite; 14 × 14 × 14 for one frame, more where frames were tiled.
        affine: (4, 4) patch index → patient RAS of the patch's centre, mm; any orientation.
        text: the sentence.
    """

    scores: NDArray[np.float32]
    affine: Affine
    text: str

    def __post_init__(self) -> None:
        assert self.scores.ndim == 3, f"a heatmap has three axes, not {self.scores.ndim}"
        assert np.isfinite(self.scores).all(), "every patch has a score"

    @property
    def patch_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a patch along the grid's axes, mm."""
        x, y, z = (float(edge) for edge in spacing_mm(self.affine))
        return x, y, z

    def bounds_ras_mm(self) -> NDArray[np.float64]:
        """(2, 3) lowest and highest patient coordinates of the box that the patches cover, mm."""
        return grid_bounds_ras_mm(self.scores.shape, self.affine)

    def sample(self, points_ras_mm: ArrayLike) -> NDArray[np.float32]:
        """Scores at patient points (..., 3), trilinear between patch centres; NaN beyond the covered box."""
        return sample(self.scores, self.affine, points_ras_mm, outside=np.nan)


def grid_bounds_ras_mm(shape: tuple[int, ...], affine: Affine) -> NDArray[np.float64]:
    """(2, 3) lowest and highest patient coordinates, mm, of a grid's voxels with their full extent."""
    edges = [(-0.5, size - 0.5) for size in shape]
    corners = apply(affine, [(x, y, z) for x in edges[0] for y in edges[1] for z in edges[2]])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])
