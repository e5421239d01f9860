"""What a sentence says is there and where, and nothing else, such as "Mass in the left lower lobe.", in short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from simcrop_core.results import Polarity
from simcrop_core.text.assertion import asserted_part, clauses_of
from simcrop_core.text.headings import split_heading
from simcrop_core.text.phrases import phrases_in
from simcrop_core.text.places import place_in
from simcrop_core.text.report import Statement, parse_sentence
from simcrop_core.text.rules import replacements, rule
from simcrop_core.text.structure import named_structure

_THERE: tuple[Polarity, ...] = ("positive", "uncertain")
_NOT_THERE: tuple[Polarity, ...] = ("negated", "normal")
# Which findings count. "Mass, suspicious for malignancy" is about a mass; "mass and possible effusion" is about both.
_MEANT: dict[Polarity, tuple[tuple[Polarity, ...], ...]] = {
    "positive": (("positive",), _THERE),
    "uncertain": (_THERE,),
    "negated": (_NOT_THERE,),
    "normal": (_NOT_THERE,),
}
# Findings, and the place they share.
Part = tuple[list[str], str]
_DIRECTION = re.compile(r"\b(?:to|towards?) (?:the )?(?:left|right)\b")
# Between two findings, from where on the words belong to the second.
_LINK = re.compile(r"(?:,|;|\b(?:and|or|with|as well as|plus)\b)(?!.*(?:[,;]|\b(?:and|or|with|plus)\b))")
# A further thing, and the preposition of its place.
_ANOTHER = re.compile(
    r"(?:[,;]|\b(?:and|or|with|without|plus)\b)\s+(?P<what>[^,;]*?)\b(?:in|on|at|of|along|within|throughout)\b"
)
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_REPEATED = re.compile(r"\((?:ggos?|ggns?|lad|ild|ptx|lns?)\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Named:
    """A finding and what stands around it: the words before it, and the words within and after it."""

    what: str
    before: str
    after: str


@lru_cache(maxsize=1024)
def short_form(sentence: str) -> str | None:
    """A sentence reduced to its findings with their adjectives, and where they are.

    Sizes, doubt, comparisons, verbs and references are left out, and so is what the sentence denies beside what it
    asserts; what it only denies begins with "No". Side, lobe, region and denial are those that the rules read in the
    sentence itself. Of a sentence that only says of a part of the body that it is there, or normal, the part's name is
    left: "Liver.".

    Args:
        sentence: with its heading, if it has one (`Statement.grounding_text`).

    Returns:
        The short form; None of a sentence that names neither, or whose short form would read as another place.
    """
    full = _in_full(sentence)
    if not full:
        return None
    statement = parse_sentence(full)
    if statement.polarity != "negated" and (structure := named_structure(statement.grounding_text)):
        return f"{structure[0].upper()}{structure[1:]}."
    if statement.kind != "finding":
        return None
    for parts in _readings(statement):
        short = _sentence(parts, "" if statement.polarity in _THERE else "no ")
        if _reads_alike(short, statement):
            return short
    return None


def closed(sentence: str) -> str:
    """The sentence with a full stop, if it ends without a mark: how it is typed must not decide what it means."""
    text = sentence.rstrip()
    return text if text.endswith((".", "?", "!")) else f"{text.rstrip(' ,;:')}."


def _readings(statement: Statement) -> Iterator[list[Part]]:
    """What a short form may be made of: certain findings where they are, or all; or at the sentence's one place."""
    heading, body = split_heading(statement.text)
    for meant in _MEANT[statement.polarity]:
        if named := _findings(body, meant):
            parts = _placed(named, heading.lower())
            yield parts
            if not any(place for _, place in parts):
                yield [(_distinct(n.what for n in named), place_in(asserted_part(f"{heading} {body}".lower())))]


def _in_full(sentence: str) -> str:
    """The sentence on one line, abbreviations of findings written out."""
    text = " ".join(_REPEATED.sub(" ", sentence).split())
    for abbreviation, words in replacements("abbreviations"):
        text = abbreviation.sub(words, text)
    return text


def _findings(body: str, meant: Sequence[Polarity]) -> list[_Named]:
    """Every finding of which a sentence says one of these, with the words that may tell where it is."""
    named: list[_Named] = []
    before = ""
    for clause in clauses_of(body):
        if clause.polarity in _NOT_THERE and clause.polarity not in meant:
            continue
        own = [span for span, polarity in clause.findings if polarity in meant]
        others = [span for span, polarity in clause.findings if polarity not in meant]
        phrases = phrases_in(clause.text, own, others)
        text = _DIRECTION.sub(lambda match: " " * len(match[0]), clause.text)
        ends = [*(phrase.start for phrase in phrases[1:]), len(text)] if phrases else []
        at = 0
        for phrase, end in zip(phrases, ends, strict=True):
            within = _without(text, phrase.words, phrase.start, phrase.end)
            between = text[phrase.end : end]
            link = _LINK.search(between) if end < len(text) else None
            cut = len(between) if link is None else link.start()
            ahead = f"{before} {text[at : phrase.start]}" if at < phrase.start else before
            named.append(_Named(phrase.said_in(clause.text), ahead, f"{within} {between[:cut]}"))
            before, at = between[cut:], end
        if not phrases:
            before = f"{before} {text}"
    return named


def _without(text: str, words: Iterable[tuple[int, int]], start: int, end: int) -> str:
    """What stands between the words of a phrase."""
    kept = list(text)
    for a, b in words:
        kept[a:b] = " " * (b - a)
    return "".join(kept[start:end])


def _placed(named: list[_Named], heading: str) -> list[Part]:
    """Findings by where they are; one that has no place shares its neighbour's: "mass and nodule in the lingula"."""
    all_of_them = " ".join(n.what for n in named)
    own = [_up_to_another(n.after) for n in named]
    after = [place_in(text, all_of_them) for text in own]
    for i in reversed(range(len(named) - 1)):
        after[i] = after[i] or after[i + 1]
    places = [
        place_in(f"{'' if after[i] and _tells_of_another(n.before) else n.before} {own[i]}", all_of_them) or after[i]
        for i, n in enumerate(named)
    ]
    for i in range(1, len(named)):
        places[i] = places[i] or place_in(named[i - 1].before, all_of_them)
    general = place_in(heading)
    groups: dict[str, list[str]] = {}
    for n, place in zip(named, places, strict=True):
        groups.setdefault(place or general, []).append(n.what)
    return sorted(((_distinct(what), place) for place, what in groups.items()), key=lambda group: not group[1])


def _up_to_another(after: str) -> str:
    """What follows a finding, up to where something else has a place: "in the lingula" of "…, and fog on the right"."""
    for link in _ANOTHER.finditer(after):
        if _tells_of_another(link["what"]) and place_in(after[: link.start()]):
            return after[: link.start()]
    return after


def _tells_of_another(text: str) -> bool:
    """Whether words name something, known as a finding or not, besides sizes, sides and verbs."""
    left_out = (rule("phrase_skip"), rule("phrase_end"), rule("place_adjective"), rule("places"))
    words = _WORD.findall(text.lower())
    return any(not any(pattern.fullmatch(word) for pattern in left_out) for word in words)


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _sentence(parts: list[Part], opening: str) -> str:
    link = " or " if opening else " and "
    said = [" ".join(filter(None, (_listed(what, link), place))) for what, place in parts]
    text = opening + link.join(said)
    return f"{text[0].upper()}{text[1:]}."


def _listed(what: list[str], link: str) -> str:
    return link.join(filter(None, (", ".join(what[:-1]), what[-1])))


def _reads_alike(short: str, statement: Statement) -> bool:
    """Whether the rules read in a short form what they read in the sentence; doubt about it apart."""
    read = parse_sentence(short)
    region = statement.region in (None, "chest") or read.region == statement.region
    there = (read.polarity in _THERE) == (statement.polarity in _THERE)
    return there and region and (read.kind, read.side, read.lobe) == ("finding", statement.side, statement.lobe)
