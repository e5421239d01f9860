"""Hounsfield units by a data set's table, and the guard against rescaling twice."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import NotHounsfield
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.volume import Volume
from simcrop_core.imaging.voxel_values import HounsfieldValues, to_hounsfield
from simcrop_core.results import PassportFinding
from simcrop_training.datasets.study import Rescale, StatedGeometry

# A chest whose rescale was applied twice: tissue lands near −1000, and hardly anything above.
EMPTY_HU = -1000
MOST_EMPTY = 0.8
DENSEST_PERCENTILE = 99.5
LEAST_DENSE_HU = 100
# Stored numbers of a scanner start at 0 or at a marker far below; HU have air where the room is.
AIR_HU = (-1100, -850)
LEAST_AIR = 0.02
_SAMPLES_AN_AXIS = 64

Values = HounsfieldValues | NDArray[np.float64]


def rescaled_twice(values: Values) -> bool:
    """Whether a chest's values look as if an intercept had been subtracted once too often."""
    empty = float((values <= EMPTY_HU).mean())
    return empty > MOST_EMPTY or float(np.percentile(values, DENSEST_PERCENTILE)) < LEAST_DENSE_HU


def apply_rescale(volume: Volume, rescale: Rescale) -> tuple[Volume, PassportFinding]:
    """Turn stored values into HU, unless they are HU already.

    Args:
        volume: as stored; its voxels may be overwritten.
        rescale: of the data set's table.
    """
    sample = _sample(volume)
    would_be = sample.astype(np.float64) * rescale.slope + rescale.intercept
    if rescaled_twice(would_be) and not rescaled_twice(sample) and _has_air(sample):
        return volume, PassportFinding(
            code="rescale",
            outcome="repaired",
            message=f"The voxels are HU already: the table's rescale ({rescale.slope:g}, {rescale.intercept:g}) "
            "was not applied again.",
        )
    order = volume.voxels.reshape(-1, order="F")
    voxels = to_hounsfield(order, rescale.slope, rescale.intercept, name=volume.name)
    scaled = dataclasses.replace(volume, voxels=voxels.reshape(volume.shape, order="F"))
    return scaled, PassportFinding(
        "rescale", "pass", f"Rescaled by the table: × {rescale.slope:g}, {rescale.intercept:+g}."
    )


def require_single_rescale(volume: Volume) -> None:
    """Refuse what was rescaled twice before it came here.

    Raises:
        NotHounsfield: more than 80 % of the voxels are at −1000 HU or below, or hardly any is above 100 HU.
    """
    if rescaled_twice(_sample(volume)):
        raise NotHounsfield(
            "Almost everything is emptier than soft tissue: the rescale intercept was subtracted twice.",
            hint="Take the file from the data set again, as published.",
        )


def stated_affine(geometry: StatedGeometry) -> Affine:
    """(4, 4) voxel → RAS mm of what a table states in LPS; the third axis is at right angles to the first two."""
    first, second = (np.array(direction) for direction in geometry.directions_lps)
    axes = np.stack([first, second, np.cross(first, second)], axis=1) * geometry.spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = geometry.origin_lps_mm
    ras: Affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    return ras


def compare_spacing(volume: Volume, stated_mm: tuple[float, float, float]) -> PassportFinding:
    """Whether a file's spacing is what its data set's table says; the file's is used either way."""
    own = volume.spacing_mm
    if np.allclose(own, stated_mm, rtol=0.01, atol=0.005):
        return PassportFinding("stated-spacing", "pass", "File and table agree on the spacing.")
    theirs, ours = (" × ".join(f"{edge:.3g}" for edge in edges) for edges in (stated_mm, own))
    return PassportFinding(
        code="stated-spacing",
        outcome="warned",
        message=f"The table says {theirs} mm, the file {ours} mm; the file's spacing is used.",
        hint="Look at the scan: if it is squeezed, the file was changed after it was published.",
    )


def _sample(volume: Volume) -> HounsfieldValues:
    """At most 128 voxels along each axis, evenly spread."""
    steps = (max(1, size // _SAMPLES_AN_AXIS) for size in volume.shape)
    sample: HounsfieldValues = volume.voxels[tuple(slice(None, None, step) for step in steps)]
    return sample


def _has_air(values: Values) -> bool:
    share = float(((values > AIR_HU[0]) & (values < AIR_HU[1])).mean())
    return share > LEAST_AIR
