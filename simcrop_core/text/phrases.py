"""The words of a clause that name a finding: its noun with the adjectives that belong to it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from simcrop_core.text.assertion import Span
from simcrop_core.text.rules import rule

_WORD = re.compile(r"\d[\w.,]*\w|\d|[^\W\d_][\w'-]*")
_TOGETHER = re.compile(r"[\s-]*")
_ALIKE = re.compile(r"\s*,?\s*(?:and|or)?\s*")
# "the wall of the aorta is calcified"
_IS = re.compile(r"\b(?:is|are|was|were|appears?|appeared|remains?)\b")
# Of what an adjective describes, at most so many words are read.
_FAR = 5


@dataclass(frozen=True, slots=True)
class Phrase:
    """A finding as a clause names it.

    Attributes:
        words: spans of its words within the clause, in the order in which they are said.
        start: of the first of them.
        end: of the last.
    """

    words: tuple[Span, ...]
    start: int
    end: int

    def said_in(self, clause: str) -> str:
        """The phrase itself."""
        return " ".join(clause[a:b] for a, b in self.words)


def phrases_in(clause: str, findings: Iterable[Span], others: Iterable[Span] = ()) -> list[Phrase]:
    """The phrases that name some findings of a clause, in order; findings that stand together make one.

    An adjective of which the clause does not say what has it names nothing.

    Args:
        clause: lower case.
        findings: spans of the words that name them.
        others: spans of findings that belong to none of the phrases.
    """
    reader = _Reader(clause, list(others))
    found: list[list[int]] = []
    for finding in findings:
        words = reader.around(finding)
        if found and (link := reader.link(found[-1], words)) is not None:
            found[-1] = sorted({*found[-1], *link, *words})
        else:
            found.append(words)
    phrases = [reader.phrase(words) for words in found]
    return [phrase for phrase in phrases if phrase is not None]


class _Reader:
    """The words of one clause, by number."""

    def __init__(self, clause: str, others: list[Span]) -> None:
        self._clause = clause
        self._sideless = [match.span() for match in rule("not_a_side").finditer(clause)]
        self._spans = [match.span() for match in _WORD.finditer(clause)]
        self._others = {n for n, span in enumerate(self._spans) if any(_overlap(span, other) for other in others)}

    def around(self, finding: Span) -> list[int]:
        """The numbers of the words of a finding's phrase, without a subject that stands apart."""
        named = [n for n, span in enumerate(self._spans) if _overlap(span, finding)]
        before = self._run(named[0], -1)
        after = self._run(named[-1], 1)[:_FAR] if self._is_description(named) else []
        return [*before[::-1], *named, *after]

    def link(self, first: list[int], second: list[int]) -> list[int] | None:
        """The words that join two phrases into one, None where they are two.

        "Ground-glass" goes with "opacity", "collection" with "of pleural fluid", "spiculated" with ", solid mass".
        """
        if set(first) & set(second):
            return []
        start, end = self._spans[first[-1]][1], self._spans[second[0]][0]
        between = self._clause[start:end]
        if between == " of ":
            return [first[-1] + 1]
        said_of_another = _IS.search(self._clause, 0, self._spans[first[0]][0]) is not None
        alike = self._is_description(first) and not said_of_another and _ALIKE.fullmatch(between)
        return [] if alike or _TOGETHER.fullmatch(between) else None

    def phrase(self, words: list[int]) -> Phrase | None:
        """The words as a phrase; an adjective alone takes what it is said of, and is none where nothing is."""
        subject = self._subject(words[0]) if self._is_description(words) else []
        if not subject and self._is_description(words) and not rule("names_alone").search(self._word(words[-1])):
            return None
        spans = tuple(self._spans[n] for n in (*words, *subject))
        return Phrase(spans, min(spans)[0], max(spans)[1])

    def _run(self, at: int, step: int) -> list[int]:
        """The words beside a word that go with it, nearest first."""
        run: list[int] = []
        while 0 <= at + step < len(self._spans) and self._joined(at, at + step):
            at += step
            if self._is_left_out(at):
                continue
            if at in self._others or (self._is_end(at) and not self._lists_places(at, step)):
                break
            run.append(at)
        return run

    def _subject(self, description: int) -> list[int]:
        """What "is" the description: the first words of the clause."""
        start = self._spans[description][0]
        verb = _IS.search(self._clause, 0, start)
        if verb is None:
            return []
        subject: list[int] = []
        for n, span in enumerate(self._spans):
            if span[0] >= verb.start() or (subject and self._is_end(n)):
                break
            if not self._is_end(n) and not self._is_left_out(n):
                subject.append(n)
        return [] if self._others.intersection(subject) else subject

    def _is_end(self, n: int) -> bool:
        return rule("phrase_end").fullmatch(self._word(n)) is not None

    def _is_left_out(self, n: int) -> bool:
        """Sizes, sides and the like; not the "left" of the left ventricle."""
        start = self._spans[n][0]
        sided = any(a <= start < b for a, b in self._sideless)
        return not sided and rule("phrase_skip").fullmatch(self._word(n)) is not None

    def _lists_places(self, n: int, step: int) -> bool:
        """Whether "and" or "or" stands between two adjectives of place that one noun has."""
        if step > 0 or n == 0 or self._word(n) not in ("and", "or") or n + 1 >= len(self._spans):
            return False
        return all(rule("listed_place").fullmatch(self._word(k)) for k in (n - 1, n + 1))

    def _is_description(self, words: list[int]) -> bool:
        return all(rule("descriptive").fullmatch(self._word(n)) for n in words)

    def _joined(self, one: int, other: int) -> bool:
        first, second = sorted((one, other))
        between = self._clause[self._spans[first][1] : self._spans[second][0]]
        listed = between == ", " and all(rule("listed_place").fullmatch(self._word(n)) for n in (first, second))
        return listed or _TOGETHER.fullmatch(between) is not None

    def _word(self, n: int) -> str:
        start, end = self._spans[n]
        return self._clause[start:end]


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
