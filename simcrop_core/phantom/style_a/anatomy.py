"""One person as drawn on a grid of voxels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a.space import PLAN, Box, Field, Grid, Mask, Space


@dataclass(slots=True, eq=False)
class Anatomy:
    """A chest, synthetic or real; findings change the image and the labels and read the rest.

    Attributes:
        space: where every voxel lies in the standard body.
        image: HU.
        labels: uint8, indices of `ORGANS`.
        lobes: uint8, indices of `LOBES`.
        depth: mm below the pleura of the chest wall; negative outside it.
        above: mm above the diaphragm.
        regions: further named structures that sentences may point at.
        iodine: HU that contrast medium adds in large vessels; 0 without contrast.
    """

    space: Space
    image: Field
    labels: NDArray[np.uint8]
    lobes: NDArray[np.uint8]
    depth: Field
    above: Field
    regions: dict[str, Mask] = field(default_factory=dict)
    iodine: float = 0.0

    @property
    def grid(self) -> Grid:
        """The voxels."""
        return self.space.grid

    @property
    def sketch(self) -> bool:
        """On the coarse grid on which things are only decided: details that decide nothing are left out."""
        return self.grid == PLAN

    def lung(self) -> Mask:
        """Voxels of both lungs."""
        lung: Mask = (self.labels == 1) | (self.labels == 2)
        return lung

    def take(self, mask: Mask, label: int = 0) -> None:
        """Give voxels to an organ, or to none, and to no lobe."""
        self.labels[mask] = label
        self.lobes[mask] = 0

    def name(self, region: str, box: Box, part: Mask) -> None:
        """Call some voxels of a box a region."""
        self.regions[region] = np.zeros(self.grid.shape, dtype=bool)
        self.regions[region][box] = part
