"""Whether a text is English, the one language the rules and the text towers read."""

from __future__ import annotations

import re
import unicodedata

from simcrop_core.text.rules import words

_WORD = re.compile(r"[^\W\d_]+")
# Letters of other languages that English does not use, not even in the names of signs often met in reports.
_FOREIGN_LETTERS = frozenset("ğşıİçñßõãœæąęłżćčšžőű")
_LEAST_LATIN = 0.7


def is_english(text: str) -> bool:
    """Whether a report or a sentence is in English.

    A text in another script is not. In Latin script the common words of English and of other languages are counted;
    a short text without any of either, such as "Situs inversus.", is taken as English.
    """
    letters = [letter for letter in text if letter.isalpha()]
    latin = sum("LATIN" in unicodedata.name(letter, "") or letter in "µμ" for letter in letters)
    if latin < _LEAST_LATIN * len(letters):
        return False
    # Capitals are abbreviations ("LA": left atrium) unless all is in capitals.
    plain = [word.lower() for word in _WORD.findall(text) if text.isupper() or not word.isupper() or len(word) == 1]
    foreign = sum(word in words("words_foreign") or not _FOREIGN_LETTERS.isdisjoint(word) for word in plain)
    return foreign <= sum(word in words("words_english") for word in plain)
