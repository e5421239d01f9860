"""What the model sees of a scan: the fields of a weights file that define its frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FrameConfig:
    """The model frame (paper §3.1: 1.5 × 1.5 × 3.0 mm, 224 × 224 × 112, HU −1000…1000 → −1…1).

    Attributes:
        spacing_mm: of the frame's voxels along its axes.
        shape: voxels of one frame.
        patch: voxels of one patch; frames and tiles start on multiples of it.
        hu_window: mapped linearly to −1…1, clipped.
        axes: "RAS": the volume's axes permuted and flipped to the nearest RAS+; "stored": as in the file
            (the released weights).
        padding: "air" (−1, ours) or "reflect" (the released weights) outside the scan.
        placement: "lungs": centred on the lungs; "volume": on the volume (the released weights).
        tile_overlap: patches shared by neighbouring frames where one frame does not cover the lungs.
    """

    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 3.0)
    shape: tuple[int, int, int] = (224, 224, 112)
    patch: tuple[int, int, int] = (16, 16, 8)
    hu_window: tuple[float, float] = (-1000.0, 1000.0)
    axes: Literal["RAS", "stored"] = "RAS"
    padding: Literal["air", "reflect"] = "air"
    placement: Literal["lungs", "volume"] = "lungs"
    tile_overlap: int = 4
