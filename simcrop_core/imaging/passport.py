"""Every volume shows its passport before it is used: header and values are checked, repaired, or refused by name.

The codes are listed in docs/passport.md and stay what they are.
"""

from __future__ import annotations

from simcrop_core.errors import BrokenGeometry, NotHounsfield, SimCroPError
from simcrop_core.imaging.geometry_checks import (
    check_affine,
    check_field_of_view,
    check_orientation,
    check_orthogonality,
    check_size,
    check_spacing,
)
from simcrop_core.imaging.hounsfield_checks import check_finite, check_hounsfield, check_padding
from simcrop_core.imaging.volume import Volume
from simcrop_core.results import PassportFinding

# In this order: each may rely on what the ones before it let through.
_CHECKS = (
    check_affine,
    check_spacing,
    check_orthogonality,
    check_orientation,
    check_size,
    check_field_of_view,
    check_finite,
    check_hounsfield,
    check_padding,
)


def check(volume: Volume) -> tuple[Volume, list[PassportFinding]]:
    """Judge a volume, repair what can be repaired without doubt, and say so.

    Args:
        volume: as a reader gave it.

    Returns:
        The volume, itself unless something was repaired, and what was found: first what its reader saw, then one
        finding a check. Checking the result again repairs nothing.

    Raises:
        BrokenGeometry: the affine cannot be one, or its axes, slant or spacing are no CT's.
        NotHounsfield: the values are not HU.
    """
    volume, findings, refusal = _judged(volume)
    if refusal is not None:
        raise refusal
    return volume, findings


def inspect(volume: Volume) -> tuple[Volume, list[PassportFinding]]:
    """As `check`, but a refusal is the last finding; the volume is then as far as it was repaired."""
    volume, findings, refusal = _judged(volume)
    return volume, findings if refusal is None else [*findings, refused(refusal)]


def refused(refusal: SimCroPError) -> PassportFinding:
    """A refusal as a row of the passport."""
    return PassportFinding(refusal.code, "refused", refusal.message, refusal.hint)


def _judged(volume: Volume) -> tuple[Volume, list[PassportFinding], SimCroPError | None]:
    findings = list(volume.findings)
    for one_check in _CHECKS:
        try:
            volume, finding = one_check(volume)
        except (BrokenGeometry, NotHounsfield) as refusal:
            return volume, findings, refusal
        findings.append(finding)
    return volume, findings, None
