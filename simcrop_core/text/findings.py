"""The sentences each CT-RATE label is scored by: some that say it is there, some that deny it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from simcrop_core.text.report import Statement, parse_sentence

_SENTENCES = Path(__file__).with_name("finding_sentences.txt")


@dataclass(frozen=True, slots=True)
class FindingSentences:
    """The reference sentences of one finding (docs/findings.md).

    Attributes:
        label: one of `CT_RATE_LABELS`.
        positive: say that it is there, with sides and lobes where it has them; the plain prompt comes first.
        negated: say that it is not there, or that the organ is normal.
    """

    label: str
    positive: tuple[Statement, ...]
    negated: tuple[Statement, ...]


@cache
def finding_sentences() -> tuple[FindingSentences, ...]:
    """The reference sentences of the 18 labels, in the order of `CT_RATE_LABELS`, written for this project."""
    blocks = _SENTENCES.read_text(encoding="utf-8").strip().split("\n\n")
    return tuple(_finding(block.splitlines()) for block in blocks)


def _finding(lines: list[str]) -> FindingSentences:
    """A label's line, then a line a sentence: "+ " is positive, "- " negated."""
    label, *sentences = lines
    return FindingSentences(label, _marked("+ ", sentences), _marked("- ", sentences))


def _marked(mark: str, lines: list[str]) -> tuple[Statement, ...]:
    return tuple(parse_sentence(line.removeprefix(mark)) for line in lines if line.startswith(mark))
