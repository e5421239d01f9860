"""The organs that methods speak of: which classes of a label map make one, which words of a report mean it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).parents[1] / "anatomies.yaml"


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One organ.

    Attributes:
        name: as in anatomies.yaml.
        classes: names of label map classes that make it, `*` standing for any letters.
        words: of reports that speak of it, likewise.
    """

    name: str
    classes: tuple[str, ...]
    words: tuple[str, ...]

    def covers(self, label: str) -> bool:
        """Whether a class of a label map is part of it."""
        return any(fnmatchcase(label, pattern) for pattern in self.classes)


@cache
def anatomies() -> dict[str, Anatomy]:
    """All organs, by name."""
    return {
        name: Anatomy(name, tuple(entry["classes"]), tuple(entry["words"]))
        for name, entry in _content()["anatomies"].items()
    }


@cache
def label_classes() -> tuple[str, ...]:
    """The classes of label maps in stores by number: "background", TotalSegmentator v2's, those of other label maps."""
    return ("background", *_content()["totalsegmentator_v2"], *_content()["other_classes"])


@cache
def total_segmentator_classes() -> tuple[str, ...]:
    """The classes of TotalSegmentator v2 by number, "background" first."""
    return ("background", *_content()["totalsegmentator_v2"])


def mentioned(sentence: str) -> list[str]:
    """The organs that a sentence speaks of, in the order of anatomies.yaml; of words that overlap the longest counts.

    "The main bronchi are open" is about the trachea, not about the lung, whose word is "bronch*".
    """
    matches = [
        (match.end() - match.start(), match.start(), name)
        for name, pattern in _patterns()
        for match in pattern.finditer(sentence)
    ]
    taken: list[tuple[int, int]] = []
    found = set()
    for length, start, name in sorted(matches, key=lambda match: (-match[0], match[1])):
        if all(start + length <= low or start >= high for low, high in taken):
            taken.append((start, start + length))
            found.add(name)
    return [name for name in anatomies() if name in found]


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """One expression a word, so that of two words of one organ the longer can be found inside the shorter's place."""
    return tuple((a.name, _pattern(word)) for a in anatomies().values() for word in a.words)


def _pattern(word: str) -> re.Pattern[str]:
    letters = re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+")
    return re.compile(rf"(?<!\w){letters}(?!\w)", re.IGNORECASE)


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return content
