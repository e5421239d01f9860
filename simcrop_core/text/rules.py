"""The word lists and expressions the text rules are made of, read from rules/."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_RULES = Path(__file__).parent / "rules"
_MACRO = re.compile(r"<(\w+)>")


@cache
def rule(name: str, *, after_hyphen: bool = False) -> re.Pattern[str]:
    """Any line of rules/`name`.txt, in whole words and any case.

    Args:
        name: of the file.
        after_hyphen: whether a match may follow a hyphen: "hilar" in "peri-hilar", but not "calcified" in
            "non-calcified".
    """
    before = r"(?<!\w)" if after_hyphen else r"(?<![\w-])"
    return re.compile(f"{before}{alternatives(name)}(?!\\w)", re.IGNORECASE)


@cache
def alternatives(name: str) -> str:
    """The lines of rules/`name`.txt as one group, `<other>` replaced by the group of that file."""
    return "(?:" + "|".join(_MACRO.sub(lambda macro: alternatives(macro[1]), line) for line in _lines(name)) + ")"


@cache
def replacements(name: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The lines "expression = what to put in its place" of rules/`name`.txt, in whole words and any case."""
    pairs = (line.split(" = ", 1) for line in _lines(name))
    return tuple((re.compile(rf"(?<![\w-])(?:{old})(?!\w)", re.IGNORECASE), new) for old, new in pairs)


@cache
def words(name: str) -> frozenset[str]:
    """The words of rules/`name`.txt."""
    return frozenset(" ".join(_lines(name)).split())


def _lines(name: str) -> list[str]:
    lines = (_RULES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
