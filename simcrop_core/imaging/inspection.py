"""Everything the passport says of a volume: its header, its values, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from simcrop_core.imaging.chest_checks import check_chest, no_lungs
from simcrop_core.imaging.lungs import LungEstimate, estimate_lungs
from simcrop_core.imaging.passport import inspect, refused
from simcrop_core.imaging.volume import Volume
from simcrop_core.results import PassportFinding


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """A volume with its whole passport.

    Attributes:
        volume: as the passport left it; where it was refused, as far as it was repaired.
        lungs: found in it; None where there are none, or it was refused before they were looked for.
        passport: the findings; a refusal is the last.
    """

    volume: Volume
    lungs: LungEstimate | None
    passport: list[PassportFinding]


def inspect_scan(volume: Volume) -> Inspection:
    """Judge a volume, and the chest in it, without raising.

    Args:
        volume: as a reader gave it.
    """
    volume, findings = inspect(volume)
    if findings[-1].outcome == "refused":
        return Inspection(volume, None, findings)
    lungs = estimate_lungs(volume)
    chest = [refused(no_lungs(volume))] if lungs is None else check_chest(volume, lungs)
    return Inspection(volume, lungs, [*findings, *chest])
