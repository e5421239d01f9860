"""What a finding is: everything decided about it before it is drawn, and what was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.truth import LOBES


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to draw and to say.

    Attributes:
        kind: a key of `KIND_LABELS`.
        side: "left", "right", or "" in the midline or on both sides.
        lobe: a name of `LOBES`, or "" where it lies in no single lobe.
        place: a finer place, such as "superior segment" or "subcarinal", or "".
        size_mm: largest diameter of focal lesions, else 0.
        looks: a word that fits ("spiculated", "pacemaker"), or "".
        severity: "mild", "moderate", "severe", "small", "large", or "".
        several: more than one of them.
        centre: body mm.
        reach: mm about the centre.
        seed: of everything random in drawing it.
    """

    kind: str
    side: str = ""
    lobe: str = ""
    place: str = ""
    size_mm: float = 0.0
    looks: str = ""
    severity: str = ""
    several: bool = False
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reach: float = 0.0
    seed: int = 0

    def stream(self) -> np.random.Generator:
        """The random numbers to draw it with, the same on every grid."""
        return np.random.default_rng([self.seed, 11])

    @property
    def lobe_index(self) -> int:
        """Index into `LOBES`; 0 where it lies in no single lobe."""
        return LOBES.index(self.lobe) if self.lobe else 0


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A finding and the flat indices (C order) of the voxels it was drawn into."""

    finding: Finding
    voxels: NDArray[np.int32]
