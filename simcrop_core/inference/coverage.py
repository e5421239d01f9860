"""Whether the place a sentence speaks of is in the part of the patient that the model saw."""

from __future__ import annotations

import itertools

import numpy as np

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.frame import FrameVolume
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.lungs import LungEstimate
from simcrop_core.results import Side
from simcrop_core.text.anatomy import Region

# Where a region begins along the body: mm above the lung apices, or below the lung bases (usual adult anatomy; the
# domes of liver and spleen stand higher than the deepest lung). That level must be in the covered part of the scan for
# a sentence about the region to be looked for.
_ABOVE_APEX_MM: dict[Region, float] = {"head": 130.0, "neck": 15.0}
_BELOW_BASE_MM: dict[Region, float] = {"upper abdomen": -20.0, "kidneys": 70.0, "lower abdomen": 250.0}
# A lowest slice with this share of the lungs' largest cross-section is no lung base.
_CUT_AREA_SHARE = 0.6
# Less than this beside the spine holds no lung to look into.
_LEAST_SIDE_MM = 40.0


def covers(frame: FrameVolume, region: Region | None, side: Side | None) -> bool:
    """Whether the covered box holds the body region, and the side of the chest, that a sentence names.

    Without a lung estimate nothing is known of the patient, and everything counts as covered.
    """
    if frame.lungs is None:
        return True
    if region == "limbs":
        return False
    return _covers_level(frame, region) and _covers_side(frame, side)


def _covers_level(frame: FrameVolume, region: Region | None) -> bool:
    """Whether the region's usual level along the body is inside both the frame and the scan."""
    assert frame.lungs is not None
    if region not in _ABOVE_APEX_MM and region not in _BELOW_BASE_MM:
        return True
    lung_s_mm = frame.lungs.box_ras_points()[:, 2]
    if region in _ABOVE_APEX_MM:
        level = float(lung_s_mm.max()) + _ABOVE_APEX_MM[region]
    else:
        if _bases_cut_off(frame.lungs):
            return False
        level = float(lung_s_mm.min()) - _BELOW_BASE_MM[region]
    centre = apply(frame.lungs.affine, np.argwhere(frame.lungs.mask).mean(axis=0))
    index = index_in(frame.lattice.affine, [centre[0], centre[1], level])
    end = np.asarray(frame.origin) + np.asarray(frame.patch_grid) * frame.config.patch
    return bool(
        (index >= np.maximum(frame.origin, 0)).all() and (index <= np.minimum(end, frame.lattice.shape) - 1).all()
    )


def _bases_cut_off(lungs: LungEstimate) -> bool:
    """Whether the scan ends in the middle of the lungs, well above the diaphragm."""
    area = lungs.mask.sum(axis=(0, 1))
    return bool(area[0] > _CUT_AREA_SHARE * area.max())


def _covers_side(frame: FrameVolume, side: Side | None) -> bool:
    """Whether frame and scan reach to that side of the spine, with air in the lung there or not."""
    assert frame.lungs is not None
    if side not in ("left", "right"):
        return True
    if frame.lungs.half is not None:
        return side == frame.lungs.half
    if frame.lungs.midline_r_mm is None:
        return True
    last = np.asarray(frame.lattice.shape) - 1
    scan_r_mm = apply(frame.lattice.affine, list(itertools.product(*((0.0, float(end)) for end in last))))[:, 0]
    (box_low, _, _), (box_high, _, _) = frame.box_ras_mm
    if side == "left":
        return frame.lungs.midline_r_mm - max(box_low, float(scan_r_mm.min())) >= _LEAST_SIDE_MM
    return min(box_high, float(scan_r_mm.max())) - frame.lungs.midline_r_mm >= _LEAST_SIDE_MM


def on_the_other_side(frame: FrameVolume, side: Side | None, peak_r_mm: float, patch_mm: float) -> bool:
    """Whether a peak lies, by more than half a patch, on the side that the sentence does not name."""
    if side not in ("left", "right") or frame.lungs is None or frame.lungs.midline_r_mm is None:
        return False
    towards_right = peak_r_mm - frame.lungs.midline_r_mm
    return towards_right > patch_mm / 2 if side == "left" else towards_right < -patch_mm / 2
