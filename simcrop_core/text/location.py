"""The side of the body a sentence names."""

from __future__ import annotations

import re

from simcrop_core.results import Lobe, Side
from simcrop_core.text.lobes import lobes_in
from simcrop_core.text.rules import rule

_LEFT = re.compile(r"(?<!\w)(?:left(?:-?sided)?|lt)(?!\w)", re.IGNORECASE)
_RIGHT = re.compile(r"(?<!\w)(?:right(?:-?sided)?|rt)(?!\w)", re.IGNORECASE)


def side_of(text: str) -> Side | None:
    """The side of the body a sentence names, "bilateral" where it names both.

    A lobe that only one lung has implies its side, and "upper lobes" means both. The chambers and arteries of the
    heart have no side: the heart lies across the midline whatever they are called; nor has the left lobe of the liver.
    """
    sided = without_sideless(text)
    lobes = lobes_in(sided)
    left = _LEFT.search(sided) is not None or any(lobe == "lingula" or lobe.startswith("left") for lobe in lobes)
    right = _RIGHT.search(sided) is not None or any(lobe.startswith("right") for lobe in lobes)
    if (left and right) or rule("bilateral").search(sided):
        return "bilateral"
    if left or right:
        return "left" if left else "right"
    return None


def lobe_of(text: str) -> Lobe | None:
    """The one lobe a sentence names, by name, abbreviation or segment; None where it names none or several.

    The same level of both lungs ("both lower lobes") is "lower lobe"; the lingula is more than the lobe it is in.
    """
    lobes = lobes_in(without_sideless(text))
    if "lingula" in lobes:
        lobes -= {"left upper lobe", "upper lobe"}
    if len(lobes) > 1:
        lobes -= {"upper lobe", "lower lobe"}  # "upper lobe predominance in both upper lobes"
    if lobes == {"left upper lobe", "right upper lobe"}:
        return "upper lobe"
    if lobes == {"left lower lobe", "right lower lobe"}:
        return "lower lobe"
    return lobes.pop() if len(lobes) == 1 else None


def without_sideless(text: str) -> str:
    """The sentence without every "left" and "right" that is no side of the body."""
    return rule("not_a_side").sub(" ", text)
