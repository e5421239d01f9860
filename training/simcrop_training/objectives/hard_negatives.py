"""Sentences that a report could hold and does not: its own on the other side, denied, or asserted where it denies."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simcrop_core.text.assertion import polarity_of
from simcrop_core.text.location import lobe_of, side_of
from simcrop_core.text.rules import rule
from simcrop_training.objectives.sentence_topics import Topic, topic_of

_OPPOSITE = {
    "left": "right", "right": "left", "lt": "rt", "rt": "lt",
    "lul": "rul", "rul": "lul", "lll": "rll", "rll": "lll", "rml": "lingula",
    "right middle lobe": "lingula", "middle lobe": "lingula",
    "lingula": "right middle lobe", "lingular segment": "right middle lobe",
}  # fmt: skip
_SIDED = re.compile(
    r"(?<!\w)(?:right middle lobe|middle lobe(?! of)|lingular segment(?: of the left upper lobe)?"
    r"|lingula(?: of the left lung)?|left|right|lt|rt|[lr][ul]l|rml)(?!\w)",
    re.IGNORECASE,
)
_BE = r"\b(?P<be>is|are|was|were)\b"
_SOME = r"(?:an?|multiple|several|some|few|scattered)"
_NO_NOUN = r"(?:in|on|at|the|this|these|changes|possibl[ey]|probabl[ey]|questionable|suspected|left:|right:)\b|\W"
_SHOWN = r"(?:seen|observed|detected|identified|visible|present|noted|found|evident|visuali[sz]ed|demonstrated)"

# How to deny: the first whose result the rules of assertion read as denied is taken.
_DENIALS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (rf"\b(there (?:is|are|was|were)) (?:{_SOME} )?", r"\1 no "),
        (rf"{_BE}(?= (?:\w+ly )?{_SHOWN}\b)", r"\g<be> not"),
        (rf"^(?:note is made of |ct shows |we see )?(?:{_SOME} )?(?!{_NO_NOUN})", "No "),
    )
)
# How to assert what was denied.
_ASSERTIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\b(there (?:is|are|was|were)) no(?: evidence of| sign of)? ", r"\1 "),
        (rf"{_BE} (?:not|no longer) (?={_SHOWN})", r"\g<be> "),
        (r"^(?:no (?:evidence|signs?) of|no|without|negative for)(?: any)? ", ""),
        (r"\b(?:free (?:of|from)|without)\b", "with"),
        (rf"{_BE} absent\b", r"\g<be> present"),
    )
)


@dataclass(frozen=True, slots=True)
class Rival:
    """A sentence that is not true of the report it was made from.

    Attributes:
        text: in words of its own.
        of: the place of the sentence it was made from among those of the report.
    """

    text: str
    of: int


def rivals_of(sentences: Sequence[str], said: Sequence[str]) -> list[Rival]:
    """What could be mistaken for a report's sentences and is not true of it, in order.

    Args:
        sentences: to make them from.
        said: all that the report says: what it asserts is no rival, though it be made from another sentence.
    """
    topics = [topic_of(text) for text in said]
    rivals = [
        Rival(text, place)
        for place, sentence in enumerate(sentences)
        for text in _made_from(sentence)
        if text not in said and not any(topic_of(text).alike(topic) for topic in topics)
    ]
    return list({rival.text: rival for rival in reversed(rivals)}.values())[::-1]


@functools.lru_cache(maxsize=1 << 18)
def _made_from(sentence: str) -> tuple[str, ...]:
    """Other side and denial of what asserts a finding; assertion of what denies one."""
    topic = topic_of(sentence)
    if not topic.kinds:
        return ()
    made = (mirrored(sentence), denied(sentence)) if topic.asserted else (asserted(sentence),)
    return tuple(text for text in made if text is not None)


def mirrored(sentence: str) -> str | None:
    """The same on the other side of the body; None where a sentence names no side, or both, or a lobe without twin.

    The lingula and the middle lobe stand for each other. "Left" and "right" that are no side of the body stay.
    """
    side = side_of(sentence)
    if side not in ("left", "right"):
        return None
    kept = [match.span() for match in rule("not_a_side").finditer(sentence)]

    def opposite(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in kept):
            return match[0]
        words = match[0].lower()
        twin = _OPPOSITE.get(words) or _OPPOSITE[words.split(" of ")[0]]
        return _cased_as(match[0], twin)

    other = _SIDED.sub(opposite, sentence)
    wanted = "right" if side == "left" else "left"
    moved = side_of(other) == wanted and (lobe_of(sentence) is None) == (lobe_of(other) is None)
    return other if moved else None


def denied(sentence: str) -> str | None:
    """The sentence with its finding denied, None where the rules find no way that they themselves read so."""
    return _rewritten(sentence, _DENIALS, lambda text: polarity_of(text) == "negated")


def asserted(sentence: str) -> str | None:
    """A denial turned into its opposite, None where the rules find no way that they themselves read so."""
    return _rewritten(sentence, _ASSERTIONS, lambda text: polarity_of(text) == "positive")


def _rewritten(
    sentence: str, ways: Sequence[tuple[re.Pattern[str], str]], accepted: Callable[[str], bool]
) -> str | None:
    before = topic_of(sentence)
    for pattern, replacement in ways:
        if not pattern.search(sentence):
            continue
        text = pattern.sub(replacement, _uncapped(sentence) if replacement == "No " else sentence, count=1)
        text = text[:1].upper() + text[1:]
        if accepted(text) and _same_subject(before, topic_of(text)):
            return text
    return None


def _same_subject(before: Topic, after: Topic) -> bool:
    return before.kinds == after.kinds and before.sides == after.sides and before.asserted != after.asserted


def _uncapped(sentence: str) -> str:
    """With a small first letter, unless the first word is an abbreviation."""
    first = sentence.split(" ", 1)[0]
    return sentence if first.isupper() and len(first) > 1 else sentence[:1].lower() + sentence[1:]


def _cased_as(model: str, text: str) -> str:
    if model.isupper():
        return text.upper() if len(text) <= 3 else text
    return text[:1].upper() + text[1:] if model[:1].isupper() else text
