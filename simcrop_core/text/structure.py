"""The part of the body that a sentence names and says nothing else of: "liver" of "The liver is included."."""

from __future__ import annotations

import re

from simcrop_core.text.lobes import lobes_in
from simcrop_core.text.rules import replacements, words

_LOBES = re.compile(
    r"\b(?:(?:left|right|both|bilateral) (?:lung )?)?(?:upper|middle|lower) lobes?"
    r"(?: of (?:the )?(?:left|right|both) lungs?)?\b"
    r"|\b(?:R[UML]L|L[UL]L)\b|\blingul(?:a|ar segments?)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_BOTH = {"upper lobe": "upper lobes", "lower lobe": "lower lobes"}
_PAIRS = {
    frozenset({"left upper lobe", "right upper lobe"}): "upper lobes",
    frozenset({"left lower lobe", "right lower lobe"}): "lower lobes",
}


def named_structure(sentence: str) -> str | None:
    """The one organ, region or lobe that a sentence names, by its plainest name; in lower case.

    Args:
        sentence: of any kind.

    Returns:
        None where it names none or several, or says more than that it is there or normal.
    """
    named, rest = _named(sentence)
    said_besides = {word.lower() for word in _WORD.findall(rest)} - words("structure_words")
    return next(iter(named)) if len(named) == 1 and not said_besides else None


def _named(sentence: str) -> tuple[set[str], str]:
    """Every structure of a sentence, longer names first, and the sentence without them."""
    named: set[str] = set()
    rest = " ".join(sentence.split())
    if lobes := lobes_in(rest):
        # "The left lung" of "the lower lobe of the left lung" is no structure beside it.
        rest = _LOBES.sub(" ", rest)
        pair = _PAIRS.get(frozenset(lobes))
        named |= {pair} if pair else {_BOTH.get(lobe, lobe) for lobe in lobes}
    found = [(match.span(), name) for pattern, name in replacements("structures") for match in pattern.finditer(rest)]
    taken: list[tuple[int, int]] = []
    for (start, end), name in sorted(found, key=lambda item: item[0][0] - item[0][1]):
        if all(end <= a or start >= b for a, b in taken):
            taken.append((start, end))
            named.add(name)
    for start, end in sorted(taken, reverse=True):
        rest = f"{rest[:start]} {rest[end:]}"
    return named, rest
