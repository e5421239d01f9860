"""Passport checks of what is in the scan: a whole chest, with left and right where the header has them."""

from __future__ import annotations

from simcrop_core.errors import NotAChest
from simcrop_core.imaging.left_right import Sides, sides_of
from simcrop_core.imaging.lungs import LungEstimate
from simcrop_core.imaging.volume import Volume
from simcrop_core.results import PassportFinding

# At its end, a slice with more than this share of the lungs' largest cross-section cuts them; 1 to 3 % in whole chests.
_CUT_SHARE = 0.3
# In five CTs of chests 46–150 mL of thick solid organ are on the liver's side, and at most 5 mL on the other.
_LEAST_LIVER_ML = 30.0
_MOST_ELSEWHERE = 0.1


def no_lungs(volume: Volume) -> NotAChest:
    """The refusal of a scan in which no lungs were found."""
    x, y, z = (n * mm / 10 for n, mm in zip(volume.shape, volume.spacing_mm, strict=True))
    return NotAChest(
        f"No lungs were found in this scan of {x:.0f} × {y:.0f} × {z:.0f} cm.",
        hint="Choose a chest series, or pass --force to run on the middle of the scan anyway.",
    )


def check_chest(volume: Volume, lungs: LungEstimate) -> list[PassportFinding]:
    """Whether the lungs are whole, and on which side liver and heart are.

    Args:
        volume: the CT, HU.
        lungs: found in it.
    """
    return [_lungs_finding(lungs), _left_right_finding(sides_of(volume, lungs))]


def _lungs_finding(lungs: LungEstimate) -> PassportFinding:
    across = lungs.mask.sum(axis=(0, 1))
    share = across / across.max()
    cut = [end for end, part in (("at the bases", share[0]), ("at the apices", share[-1])) if part > _CUT_SHARE]
    if lungs.half is not None:
        cut.append(f"but for the {lungs.half} side")
    if not cut:
        return PassportFinding("lungs", "pass", f"Lungs of {lungs.volume_ml / 1000:.1f} L, whole.")
    return PassportFinding(
        code="lungs",
        outcome="warned",
        message=f"The scan cuts the lungs off {' and '.join(cut)}.",
        hint="What a sentence is about may be outside the scan.",
    )


def _left_right_finding(sides: Sides | None) -> PassportFinding:
    if sides is None or max(sides.solid_left_ml, sides.solid_right_ml) < _LEAST_LIVER_ML:
        return PassportFinding("left-right", "pass", "Too little of the liver is in the scan to tell left from right.")
    if _mirrored(sides):
        return PassportFinding(
            code="left-right",
            outcome="warned",
            message="Liver and heart are on the other side than the header says: left and right may be exchanged.",
            hint="Compare with the original series. Where the organs truly lie so (situs inversus), all is well.",
        )
    if sides.solid_right_ml < sides.solid_left_ml:
        return PassportFinding("left-right", "pass", "Liver and heart do not agree on which side is left.")
    return PassportFinding("left-right", "pass", "The liver is on the right, as the header says.")


def _mirrored(sides: Sides) -> bool:
    """Both organs must say so: an effusion may look solid on the left, and a collapsed lung may draw the heart over."""
    leans = sides.heart_leans_right_mm
    only_left = sides.solid_right_ml <= _MOST_ELSEWHERE * sides.solid_left_ml
    return only_left and leans is not None and leans > 0
