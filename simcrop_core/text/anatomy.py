"""Which part of the body a sentence is about, coarsely: enough to say that it lies outside the scan."""

from __future__ import annotations

from typing import Literal

from simcrop_core.text.rules import rule

Region = Literal["head", "neck", "chest", "upper abdomen", "kidneys", "lower abdomen", "limbs"]

_OUTSIDE_THE_CHEST: tuple[Region, ...] = ("head", "neck", "kidneys", "upper abdomen", "lower abdomen", "limbs")


def region_of(text: str) -> Region | None:
    """The part of the body a sentence is about, None where it does not say.

    One word of the chest keeps a sentence in the chest, whatever else it names; otherwise the part named first counts.
    Phrases that use a chest word for another place ("abdominal aorta") count for that place.
    """
    first: dict[Region, int] = {}
    rest = text
    for region in _OUTSIDE_THE_CHEST:
        words = rule(f"region_{region.replace(' ', '_')}", after_hyphen=True)
        if match := words.search(text):
            first[region] = match.start()
        rest = words.sub(" ", rest)
    if rule("region_chest", after_hyphen=True).search(rest):
        return "chest"
    return min(first, key=lambda region: first[region], default=None)
