"""Where a stretch of a sentence says that something is, in the plainest words."""

from __future__ import annotations

import re
from functools import cache

from simcrop_core.results import Lobe
from simcrop_core.text.lobes import lobes_in
from simcrop_core.text.location import side_of, without_sideless
from simcrop_core.text.rules import alternatives, rule

_ORDER: tuple[Lobe, ...] = (
    "right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "lingula", "left lower lobe",
    "upper lobe", "lower lobe",
)  # fmt: skip
_OF_BOTH: tuple[tuple[frozenset[Lobe], str], ...] = (
    (frozenset({"right upper lobe", "left upper lobe"}), "both upper lobes"),
    (frozenset({"right lower lobe", "left lower lobe"}), "both lower lobes"),
)
_SIDED = re.compile(r"\b(?:left|right|lt|rt|both|bilateral)\b")


def place_in(text: str, what: str = "") -> str:
    """Lobes, else an organ, else a side, with its preposition: "in the left lower lobe"; empty where none is named.

    Args:
        text: what stands around a finding, lower case.
        what: the finding: what is on both sides is not always in the lungs.
    """
    lobes = _lobes(text)
    if lobes:
        return "in " + " and ".join(lobes)
    organ, side = _organ(text), side_of(text)
    if organ and (side is None or _SIDED.search(organ)):
        return organ
    return " ".join(filter(None, (organ, _on(side, text, what))))


def _lobes(text: str) -> list[str]:
    named = lobes_in(without_sideless(text))
    if side_of(text) == "bilateral":
        for pair, _ in _OF_BOTH:
            level: Lobe = "upper lobe" if "right upper lobe" in pair else "lower lobe"
            named = set(pair) if named == {level} else named
    if "lingula" in named:
        named -= {"left upper lobe", "upper lobe"}
    if len(named) > 1:
        named -= {"upper lobe", "lower lobe"}
    said: list[str] = []
    for pair, both in _OF_BOTH:
        if pair <= named:
            said.append(both)
            named -= pair
    return said + [f"the {lobe}" for lobe in _ORDER if lobe in named]


def _organ(text: str) -> str:
    """An organ as it is named, the preposition "in" where it has none."""
    match = _place().search(text)
    if match is None:
        return ""
    article = match["article"] or ("" if _SIDED.match(match["organ"]) and match["organ"].startswith("both") else "the")
    return " ".join(filter(None, (match["preposition"] or "in", article, match["organ"])))


def _on(side: str | None, text: str, what: str) -> str:
    if side == "bilateral":
        return "on both sides" if rule("not_the_lungs").search(f"{text} {what}") else "in both lungs"
    return f"on the {side}" if side else ""


@cache
def _place() -> re.Pattern[str]:
    prepositions = "in|at|of|along|around|within|on|over|behind|below|above|near|through|throughout|beside"
    organ = f"(?:{alternatives('place_adjective')} (?:and )?){{0,4}}{alternatives('places')}"
    return re.compile(
        rf"(?<![\w-])(?:(?P<preposition>{prepositions}) )?(?:(?P<article>the|both|its|all) )?"
        rf"(?P<organ>{organ}(?:,? (?:(?:and|or) )?(?:(?:in|of) )?(?:the )?{organ}){{0,2}})(?![\w-])",
        re.IGNORECASE,
    )
