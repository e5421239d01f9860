"""The bank of sentences a score is ranked against: 500 positive findings, the same for every scan."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_SENTENCES = Path(__file__).with_name("reference_sentences.txt")


@cache
def reference_sentences() -> tuple[str, ...]:
    """The 500 reference sentences: chest-CT findings over all lobes and organs, written for this project."""
    return tuple(_SENTENCES.read_text(encoding="utf-8").splitlines())
