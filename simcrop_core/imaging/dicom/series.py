"""Tell the series of a scan apart, and choose one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from simcrop_core.errors import SeriesChoiceNeeded
from simcrop_core.imaging.dicom.slices import Slice

_FEWEST_OF_A_SCAN = 10  # axial slices: what is chosen unasked where only one series has as many
_AXIAL_COSINE = 0.8
_SAME_DIRECTION = 1e-3
_SAME_SPACING_MM = 1e-3
_LONGEST_DESCRIPTION = 64


@dataclass(frozen=True, slots=True)
class Series:
    """Slices of one series that share size, spacing and orientation, and can so be one volume.

    Attributes:
        key: what the user types to choose it: its number, with ".2", ".3" where a number is not enough.
        slices: in no order; at least one.
        copies: files that held one of them again.
    """

    key: str
    slices: tuple[Slice, ...]
    copies: int = 0

    @property
    def first(self) -> Slice:
        """Any of its slices, for what they share."""
        return self.slices[0]

    @property
    def axial(self) -> bool:
        """Whether its slices are across the body."""
        return abs(self.first.normal[2]) >= _AXIAL_COSINE

    @property
    def name(self) -> str:
        """What to call it in results: number and description, nothing of the patient."""
        number = "series" if self.first.series_number is None else f"series {self.first.series_number}"
        description = " ".join(self.first.description.split())[:_LONGEST_DESCRIPTION]
        return f"{number} ({description})" if description else number

    @property
    def line(self) -> str:
        """One line of a list to choose from."""
        direction = "axial" if self.axial else "not axial"
        return f"{self.key}: {self.first.description or 'no description'} ({len(self.slices)} slices, {direction})"


def series_of(slices: Sequence[Slice]) -> list[Series]:
    """All series of a scan, in order of number."""
    groups: list[list[Slice]] = []
    for one in slices:
        group = next((group for group in groups if _belong_together(group[0], one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    groups.sort(key=_place)
    numbers = ["none" if group[0].series_number is None else str(group[0].series_number) for group in groups]
    kept = [tuple(_without_copies(group)) for group in groups]
    return [
        Series(key, slices, copies=len(group) - len(slices))
        for key, slices, group in zip(_unique(numbers), kept, groups, strict=True)
    ]


def choose(series: Sequence[Series], wanted: str | None, *, like: Slice | None = None) -> Series:
    """The series that was named, or else the only sensible one.

    Args:
        series: at least one.
        wanted: a key or series UID; None where the user named none.
        like: a slice the user pointed at: only the series it belongs to comes into question.

    Returns:
        The only series there is, or the only one with at least ten axial slices.

    Raises:
        SeriesChoiceNeeded: several could be meant, or none has the name.
    """
    candidates = list(series)
    if like is not None:
        candidates = [one for one in candidates if _belong_together(one.first, like)]
    if wanted is not None:
        candidates = [one for one in candidates if wanted in (one.key, one.first.series_uid)] or [
            one for one in candidates if one.key.startswith(f"{wanted}.")
        ]
        if not candidates:
            raise _choice_needed(f"There is no series {wanted} here.", series)
    if len(candidates) == 1:
        return candidates[0]
    scans = [one for one in candidates if one.axial and len(one.slices) >= _FEWEST_OF_A_SCAN]
    if len(scans) == 1:
        return scans[0]
    raise _choice_needed(f"There are {len(candidates)} CT series here.", candidates)


def _choice_needed(what: str, series: Sequence[Series]) -> SeriesChoiceNeeded:
    listed = "\n".join(f"  {one.line}" for one in series)
    return SeriesChoiceNeeded(f"{what}\n{listed}", hint="Name one by what stands before its colon: --series NUMBER.")


def _belong_together(a: Slice, b: Slice) -> bool:
    return (
        a.series_uid == b.series_uid
        and a.series_number == b.series_number
        and a.size == b.size
        and _near(a.orientation, b.orientation, _SAME_DIRECTION)
        and _near(a.spacing_mm, b.spacing_mm, _SAME_SPACING_MM)
    )


def _near(a: Sequence[float], b: Sequence[float], tolerance: float) -> bool:
    return all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))


def _place(group: list[Slice]) -> tuple[bool, int, str, int]:
    first = group[0]
    return first.series_number is None, first.series_number or 0, first.series_uid, -len(group)


def _unique(numbers: Sequence[str]) -> list[str]:
    total, seen = Counter(numbers), Counter[str]()
    keys = []
    for number in numbers:
        seen[number] += 1
        keys.append(number if total[number] == 1 else f"{number}.{seen[number]}")
    return keys


def _without_copies(slices: Sequence[Slice]) -> list[Slice]:
    """Each object once, however often its file was copied."""
    kept: dict[object, Slice] = {}
    for one in slices:
        kept.setdefault((one.instance_uid, one.frame) if one.instance_uid else (one.path, one.frame), one)
    return list(kept.values())
