"""Every lobe of the lungs a sentence names: in words, in lists of words, as an abbreviation, or by a segment."""

from __future__ import annotations

import re
from typing import Literal

from simcrop_core.results import Lobe

_Side = Literal["left", "right", "both"]

_SIDE = r"(?:left|right|lt\.?|rt\.?|both|bilateral|either|each)"
_LEVEL = r"(?:upper|middle|mid|lower)"
_ITEM = rf"(?:{_SIDE}(?:[- ]sided)? (?:lung'?s?,? )?)?{_LEVEL}(?:[- ]lob(?:es?|ectom(?:y|ies)))?"
_LINK = r"(?: ?, ?(?:and |or )?| ?[/&+-] ?| (?:and|or|as well as|plus) )(?:in )?(?:the )?"
# "right upper, middle and left lower lobes", "the lower lobe of the left lung"
_END = r"(?:(?<=lobe)|(?<=lobes)|(?<=lobectomy)|(?<=lobectomies))\b"
_PHRASE = re.compile(
    rf"\b{_ITEM}(?:{_LINK}{_ITEM}){{0,6}}{_END}(?: (?:of|in) (?:the )?(?P<after>left|right|both) lungs?)?",
    re.IGNORECASE,
)
_PART = re.compile(rf"(?:\b(?P<side>{_SIDE})(?:[- ]sided)? (?:lung'?s?,? )?)?\b(?P<level>{_LEVEL})\b", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(?:R[UML]L|L[UL]L)(?:s|'s)?\b", re.IGNORECASE)
_ABBREVIATED: dict[str, Lobe] = {
    "rul": "right upper lobe",
    "rml": "right middle lobe",
    "rll": "right lower lobe",
    "lul": "left upper lobe",
    "lll": "left lower lobe",
}
_LEVELS: dict[str, tuple[Lobe, Lobe]] = {
    "upper": ("left upper lobe", "right upper lobe"),
    "lower": ("left lower lobe", "right lower lobe"),
}
_LINGULA = re.compile(r"\blingul\w+", re.IGNORECASE)
_SIDE_WORD = re.compile(r"\b(?P<side>left|right|lt|rt|both|bilateral)\b", re.IGNORECASE)

# The lung's segments by name and by number. In the left lung numbers 4 and 5 are the lingula.
_OTHER_ORGAN = re.compile(
    r"\b(?:liver|hepatic|thyroid|renal|kidney|spleen|splenic|colon|coronary|bowel|spine|st)\b", re.IGNORECASE
)
_SEGMENTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "lower",
        re.compile(
            r"\b(?:(?:antero|medio|latero|postero)\w*-?basal|basal|superior) segments?\b"
            r"|\b(?:antero|medio|latero|postero)basal\b",
            re.I,
        ),
    ),
    ("upper", re.compile(r"\b(?:apical|apico-?posterior|anterior|posterior)\s+segments?\b", re.I)),
    ("middle", re.compile(r"\b(?:medial|lateral)\s+segments?\b", re.I)),
)
_NUMBERED = re.compile(
    r"\bsegment\s+[SB]?(?P<number>\d{1,2})\b|\b[SB](?P<short>[1-9]|10)\b(?=\s+(?:of|in)\b)", re.IGNORECASE
)


def lobes_in(text: str) -> set[Lobe]:
    """Every lobe a sentence names; "upper lobe" or "lower lobe" where nothing says of which lung."""
    text = " ".join(text.split())
    lobes: set[Lobe] = {_ABBREVIATED[match[0].lower()[:3]] for match in _ABBREVIATION.finditer(text)}
    if _LINGULA.search(text):
        lobes.add("lingula")
    for match in _PHRASE.finditer(text):
        lobes |= _lobes_of_phrase(match, text)
    if not lobes and not _OTHER_ORGAN.search(text):
        lobes = _lobes_of_segments(text)
    return lobes


def _lobes_of_phrase(phrase: re.Match[str], text: str) -> set[Lobe]:
    """The lobes of one list; a side holds for the items after it, a side after the list for all of it."""
    side = _side(phrase["after"]) if phrase["after"] else _only_side(text[: phrase.start()])
    if side is None and phrase[0].lower().endswith("lobes") and not _SIDE_WORD.search(phrase[0]):
        side = "both"
    lobes: set[Lobe] = set()
    for item in _PART.finditer(phrase[0]):
        side = _side(item["side"]) if item["side"] else side
        lobes |= _lobes(item["level"].lower(), side)
    return lobes


def _lobes_of_segments(text: str) -> set[Lobe]:
    side = _only_side(text)
    lobes: set[Lobe] = set()
    for level, pattern in _SEGMENTS:
        # Both lungs have medial and lateral segments of some lobe; alone they name one only in the right lung.
        if pattern.search(text) and (level != "middle" or side == "right"):
            lobes |= _lobes(level, side)
    for match in _NUMBERED.finditer(text):
        number = int(match["number"] or match["short"])
        if number in (4, 5):
            middle: dict[_Side | None, set[Lobe]] = {"right": {"right middle lobe"}, "left": {"lingula"}}
            lobes |= middle.get(side, set())
        elif 1 <= number <= 10:
            lobes |= _lobes("upper" if number <= 3 else "lower", side)
    return lobes


def _lobes(level: str, side: _Side | None) -> set[Lobe]:
    if level in ("middle", "mid"):
        return set() if side == "left" else {"right middle lobe"}
    if side is None:
        return {"upper lobe" if level == "upper" else "lower lobe"}
    return {lobe for lobe in _LEVELS[level] if side in ("both", lobe.split()[0])}


def _only_side(text: str) -> _Side | None:
    """The side of a stretch of text, where it names exactly one."""
    sides = {_side(match["side"]) for match in _SIDE_WORD.finditer(text)}
    return sides.pop() if len(sides) == 1 else None


def _side(word: str) -> _Side:
    first = word.lower()[0]
    if word.lower() in ("both", "bilateral", "either", "each"):
        return "both"
    return "left" if first == "l" else "right"
