"""Passport checks of where a volume says its voxels are."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry
from simcrop_core.imaging.affine import Affine, apply, spacing_mm
from simcrop_core.imaging.volume import Volume
from simcrop_core.results import PassportFinding

# 0.01° over half a metre is 0.09 mm: what rounding in a header may do, and no more than we allow ourselves.
ORTHOGONAL_DEG = 0.01
REPAIRABLE_DEG = 1.0
SPACING_MM = (0.2, 10.0)
SMALLEST_FIELD_MM = 100.0
# In-plane fields of view are 50 cm, extended ones 80; a whole body is 2 m long.
WIDEST_FIELD_MM = 1000.0
LONGEST_FIELD_MM = 2200.0
# A gantry tilts by 30° at most; volumes beyond that were cut anew along another plane.
OBLIQUE_DEG = 30.0
FEWEST_VOXELS = 16
FARTHEST_MM = 1e6

Checked = tuple[Volume, PassportFinding]


def require_affine(affine: Affine) -> None:
    """Refuse an affine that puts no two voxels at two places.

    Raises:
        BrokenGeometry: a number is not finite or beyond a kilometre, or the axes lie in one plane.
    """
    hint = "Export the volume again from the original series."
    if not (np.abs(affine) < FARTHEST_MM).all():
        raise BrokenGeometry("The header gives no usable numbers for where the voxels are.", hint=hint)
    lengths = spacing_mm(affine)
    if lengths.min() == 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise BrokenGeometry("The header puts all voxels into one plane.", hint=hint)


def check_affine(volume: Volume) -> Checked:
    """Whether the affine can be one at all."""
    require_affine(volume.affine)
    return volume, PassportFinding("affine", "pass", "The header says where the voxels are.")


def check_orthogonality(volume: Volume) -> Checked:
    """Whether the axes are at right angles; up to 1° off is turned right, about the centre of the volume.

    The repair is the rotation nearest to the stated axes (polar decomposition), with their spacings.

    Raises:
        BrokenGeometry: slices stacked at a slant (a tilted gantry), or skewed axes.
    """
    directions = volume.affine[:3, :3] / spacing_mm(volume.affine)
    off = _degrees_off(directions)
    worst = float(off.max())
    if worst <= ORTHOGONAL_DEG:
        return volume, PassportFinding("orthogonality", "pass", "The axes are at right angles.")
    if worst > REPAIRABLE_DEG:
        raise _skewed(off)
    repaired = dataclasses.replace(volume, affine=_nearest_rotation(volume))
    return repaired, PassportFinding(
        code="orthogonality",
        outcome="repaired",
        message=f"The axes were {worst:.2f}° off the right angle and were turned right.",
        hint="Positions near the edge of the volume may be off by a few millimetres.",
    )


def check_spacing(volume: Volume) -> Checked:
    """Whether the voxels have the size of a CT's: a header in metres or micrometres does not pass.

    Raises:
        BrokenGeometry: an edge is shorter than 0.2 mm or longer than 10 mm.
    """
    spacing = volume.spacing_mm
    described = " × ".join(f"{edge:.4g}" for edge in spacing)
    if min(spacing) < SPACING_MM[0] - 1e-6 or max(spacing) > SPACING_MM[1] + 1e-6:
        raise BrokenGeometry(
            f"The header gives voxels of {described} mm; a CT's are {SPACING_MM[0]} to {SPACING_MM[1]:.0f} mm.",
            hint="Check the spacing in the header; it may be missing, or in another unit than millimetres.",
        )
    return volume, PassportFinding("spacing", "pass", f"Voxels of {described} mm.")


def check_orientation(volume: Volume) -> Checked:
    """How the axes lie in the patient, and how far they are turned away from its own."""
    directions = np.abs(volume.affine[:3, :3] / spacing_mm(volume.affine))
    turned = float(np.degrees(np.arccos(np.clip(directions.max(axis=0), 0, 1))).max())
    if turned > OBLIQUE_DEG:
        return volume, PassportFinding(
            code="orientation",
            outcome="warned",
            message=f"Stored {volume.orientation}, and {turned:.0f}° oblique: no scanner's gantry tilts so far.",
            hint="It may be a reformatted plane, not the CT itself. Choose the axial series where there is one.",
        )
    oblique = f", {turned:.1f}° oblique" if turned > ORTHOGONAL_DEG else ""
    return volume, PassportFinding("orientation", "pass", f"Stored {volume.orientation}{oblique}.")


def check_size(volume: Volume) -> Checked:
    """Whether the volume has voxels enough to show anything; too many for any CT were refused by the reader."""
    described = " × ".join(map(str, volume.shape))
    if min(volume.shape) < FEWEST_VOXELS:
        return volume, PassportFinding(
            code="size",
            outcome="warned",
            message=f"Only {described} voxels.",
            hint="A part of a series, or one reduced for a preview? Give the whole of it.",
        )
    return volume, PassportFinding("size", "pass", f"{described} voxels.")


def check_field_of_view(volume: Volume) -> Checked:
    """Whether the volume is large enough to hold a chest, and no larger than a patient."""
    extent = [size * edge for size, edge in zip(volume.shape, volume.spacing_mm, strict=True)]
    described = " × ".join(f"{edge:.0f}" for edge in extent)
    if min(extent) < SMALLEST_FIELD_MM:
        return volume, PassportFinding(
            code="field-of-view",
            outcome="warned",
            message=f"The field of view is only {described} mm.",
            hint="It cannot hold both lungs: what a sentence is about may be outside it.",
        )
    if max(extent) > LONGEST_FIELD_MM or sorted(extent)[1] > WIDEST_FIELD_MM:
        return volume, PassportFinding(
            code="field-of-view",
            outcome="warned",
            message=f"The field of view is {described} mm, larger than a patient.",
            hint="Check the spacing in the header: lengths and places are as wrong as it is.",
        )
    return volume, PassportFinding("field-of-view", "pass", f"A field of view of {described} mm.")


def _degrees_off(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) how far the angle between axes y–z, x–z and x–y is from 90°: entry i is about the pair without axis i."""
    cosines = [directions[:, a] @ directions[:, b] for a, b in ((1, 2), (0, 2), (0, 1))]
    return np.abs(np.degrees(np.arcsin(np.clip(cosines, -1, 1))))


def _skewed(off: NDArray[np.float64]) -> BrokenGeometry:
    """The refusal: one pair of axes at right angles is what a stack of good slices, put together at a slant, has."""
    worst = float(off.max())
    if off.min() <= REPAIRABLE_DEG:
        return BrokenGeometry(
            f"The slices are stacked at a slant of {worst:.1f}°: the gantry was tilted.",
            hint="Have the series resampled to upright slices, for example by dcm2niix, and use that.",
        )
    return BrokenGeometry(
        f"The axes are up to {worst:.1f}° off the right angle: the volume was sheared, as a registration may do.",
        hint="Resample it to a grid with right angles, or use the original series.",
    )


def _nearest_rotation(volume: Volume) -> Affine:
    spacing = spacing_mm(volume.affine)
    left, _, right = np.linalg.svd(volume.affine[:3, :3] / spacing)
    middle = (np.array(volume.shape) - 1) / 2
    repaired = volume.affine.copy()
    repaired[:3, :3] = (left @ right) * spacing
    repaired[:3, 3] += apply(volume.affine, middle) - apply(repaired, middle)
    return repaired
