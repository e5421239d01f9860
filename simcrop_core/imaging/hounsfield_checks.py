"""Passport checks of whether the voxels are Hounsfield units."""

from __future__ import annotations

import dataclasses

import numpy as np

from simcrop_core.errors import NotHounsfield
from simcrop_core.imaging.volume import Volume
from simcrop_core.imaging.voxel_values import HounsfieldValues
from simcrop_core.results import PassportFinding

AIR_HU = -1024
# Noise, sharp kernels and resampling reach somewhat below air; markers are −1500, −2000, −2048, −3024, −8192, …
EMPTIEST_HU = -1200
# Soft tissue is a third to a half of a CT of the trunk; twice rescaled, under 0.2 % of it is left in this range.
SOFT_TISSUE_HU = (-150, 250)
LEAST_SOFT_TISSUE = 0.01
# The same tissue where the usual intercept of −1024 was not added; in a rescaled CT, 1 % of bone at most.
UNSCALED_TISSUE = (900, 1250)
MOST_BONE = 0.1
LEAST_PADDING = 0.005
# Every chest has lung emptier than this; a soft tissue window begins at −160.
LEAST_AIR_HU = -500
# A CT's highest value is one voxel of metal or bone; clipped to a lung window, it is all soft tissue.
MOST_AT_THE_TOP = 0.1
_SAMPLES_AN_AXIS = 64
_REEXPORT = "Export the series again in Hounsfield units, with the rescale slope and intercept of its DICOM headers."

Checked = tuple[Volume, PassportFinding]


def check_finite(volume: Volume) -> Checked:
    """Whether every voxel is a number; others become air.

    Raises:
        NotHounsfield: none is.
    """
    passed = PassportFinding("finite", "pass", "Every voxel is a number.")
    if volume.voxels.dtype.kind != "f":
        return volume, passed
    broken = ~np.isfinite(volume.voxels)
    count = int(np.count_nonzero(broken))
    if count == 0:
        return volume, passed
    if count == broken.size:
        raise NotHounsfield("No voxel is a number.", hint=_REEXPORT)
    voxels = volume.voxels.copy(order="K")
    voxels[broken] = AIR_HU
    return dataclasses.replace(volume, voxels=voxels), PassportFinding(
        code="finite",
        outcome="repaired",
        message=f"{count} voxels were not numbers and were set to air ({AIR_HU} HU).",
        hint="Look at the volume: what is missing in it cannot be found.",
    )


def check_hounsfield(volume: Volume) -> Checked:
    """Whether the values can be HU: told from the range, and from where soft tissue lies.

    Raises:
        NotHounsfield: one value only, a windowed picture, stored values without their rescale, or rescaled twice.
    """
    values = _sample(volume)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise NotHounsfield(f"All voxels have the value {low:g}.", hint="Choose another volume.")
    if low >= 0 and high <= 255:
        raise NotHounsfield(f"The values run from {low:g} to {high:g}: a picture windowed for display.", hint=_REEXPORT)
    if low >= -2 and high <= 2:
        raise NotHounsfield(f"The values run from {low:.2g} to {high:.2g}: normalised, not HU.", hint=_REEXPORT)
    if low >= -128 and high <= 127:
        raise NotHounsfield(f"The values run from {low:g} to {high:g}: a picture of 8 bits.", hint=_REEXPORT)
    if low >= 0 or _share(values, UNSCALED_TISSUE) > MOST_BONE:
        raise NotHounsfield(
            f"The values run from {low:.0f} to {high:.0f}, as stored by a scanner before its rescale.", hint=_REEXPORT
        )
    if _share(values, SOFT_TISSUE_HU) < LEAST_SOFT_TISSUE and np.percentile(values, 99.5) < 0:
        raise NotHounsfield(
            "Almost everything is emptier than soft tissue: the rescale intercept was subtracted twice.", hint=_REEXPORT
        )
    described = f"Values from about {low:.0f} to {high:.0f} HU"
    if low > LEAST_AIR_HU or _clipped(values, high):
        return volume, PassportFinding(
            code="hounsfield",
            outcome="warned",
            message=f"{described}: clipped to a window for display, or no lung in it.",
            hint="What was clipped is lost. Export the series again without a window.",
        )
    return volume, PassportFinding("hounsfield", "pass", f"{described}.")


def check_padding(volume: Volume) -> Checked:
    """Whether voxels carry a marker below air, as scanners put outside the reconstructed circle."""
    values = _sample(volume)
    marked = values[values < EMPTIEST_HU]
    share = marked.size / values.size
    if share < LEAST_PADDING:
        return volume, PassportFinding("padding", "pass", "No part of the scan is marked as padding.")
    marks, counts = np.unique(marked, return_counts=True)
    mark = float(marks[counts.argmax()])
    return volume, PassportFinding(
        "padding", "pass", f"{share:.0%} of the voxels are padding ({mark:.0f}), read as air."
    )


def _clipped(values: HounsfieldValues, high: float) -> bool:
    """Whether much of the scan has the highest value there is, as under a ceiling."""
    return float((values == high).mean()) > MOST_AT_THE_TOP


def _sample(volume: Volume) -> HounsfieldValues:
    """At most 128 voxels along each axis, evenly spread: a quarter of a million at the least from a whole chest."""
    steps = (max(1, size // _SAMPLES_AN_AXIS) for size in volume.shape)
    return volume.voxels[tuple(slice(None, None, step) for step in steps)]


def _share(values: HounsfieldValues, between: tuple[int, int]) -> float:
    return float(((values > between[0]) & (values < between[1])).mean())
