"""Whether a sentence says that something is there, is not there, may be there, or that all is normal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from simcrop_core.results import Polarity
from simcrop_core.text.lexicon import finding_mentions
from simcrop_core.text.rules import alternatives, rule

_QUERY_BEFORE = re.compile(r"(?:^|[\s(])\?+\s*(?=\w)")
_QUERY_AFTER = re.compile(r"\?+\s*$")
# What is measured is there, whatever it is called.
_MEASURED = re.compile(r"\b\d+(?:[.,]\d+)? ?(?:mm|cm)\b")

# A new clause: what denies or doubts before it does not reach beyond it.
_CLAUSE_END = re.compile(
    rf";|\.\s|(?P<exception>(?<!\w){alternatives('exception')}(?!\w))|(?<!\w){alternatives('contrast')}(?!\w)"
    r"|,\s*(?:and\s+)?(?=(?:an?|the|there|multiple|several|scattered|only|none|with (?:an?|multiple)|its|this|these)\s)"
    r"|\band\s+(?=there (?:is|are)|an? )|\bthere (?:is|are) (?!no\b|not\b|neither\b|hardly\b)"
)
_VERB_OR_PLACE = re.compile(r"\b(?:in|at|is|are|was|were|seen|measur\w+|with|shows?|has|have|on|within|along)\b")

_STRONGEST_FIRST: tuple[Polarity, ...] = ("positive", "uncertain", "negated", "normal")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence that asserts one thing of all it names, unless words within it say otherwise.

    Attributes:
        text: lower case, white space normalised; words of negation that deny no finding are blanked.
        polarity: its strongest assertion, None where it holds neither a finding nor a cue.
        findings: where each finding stands in `text`, and what is said of it.
    """

    text: str
    polarity: Polarity | None
    findings: tuple[tuple[Span, Polarity], ...]


def polarity_of(text: str) -> Polarity:
    """What a sentence asserts, by its strongest clause: positive, then uncertain, negated, normal.

    Every finding is read within its clause, so "nodule without calcification" is positive and "no effusion, but a
    nodule" too. A sentence without any cue is positive.
    """
    plain = _plain(text)
    if rule("double_negation").search(plain):
        return "positive"
    readings = [clause.polarity for clause in _read_clauses(plain)]
    for polarity in _STRONGEST_FIRST:
        if polarity in readings:
            return polarity
    return "negated" if rule("pseudo_negation").search(plain) and not finding_mentions(plain) else "positive"


def asserted_part(text: str) -> str:
    """A sentence without the clauses that deny or call normal, where another clause asserts something.

    "No effusion on the left, but a nodule on the right" is about the right.
    """
    plain = _plain(text)
    if rule("double_negation").search(plain):
        return text
    clauses = _read_clauses(plain)
    if not any(clause.polarity in ("positive", "uncertain") for clause in clauses):
        return text
    return ", ".join(clause.text.strip() for clause in clauses if clause.polarity not in ("negated", "normal"))


def clauses_of(text: str) -> list[Clause]:
    """The clauses of a sentence and what each of them asserts; two denials assert, of every finding."""
    plain = _plain(text)
    clauses = _read_clauses(plain)
    if rule("double_negation").search(plain) is None:
        return clauses
    return [Clause(c.text, "positive", tuple((span, "positive") for span, _ in c.findings)) for c in clauses]


def _plain(text: str) -> str:
    words = text.lower().replace("’", "'").replace("can't", "cannot").replace("n't", " not")
    return " ".join(words.split())


def _read_clauses(plain: str) -> list[Clause]:
    """Each clause with what it asserts; an exception ("but on the right") asserts even without a known finding."""
    clauses = []
    for text, excepted in _clauses(_blank(rule("pseudo_negation"), plain)):
        polarity, findings = _read(text)
        clauses.append(Clause(text, polarity or ("positive" if excepted and text.strip(" .,:") else None), findings))
    return clauses


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)


def _clauses(text: str) -> Iterable[tuple[str, bool]]:
    """The clauses of a sentence, each with whether it is an exception to the one before."""
    start, excepted = 0, False
    for match in _CLAUSE_END.finditer(text):
        yield text[start : match.start()], excepted
        start, excepted = match.end(), match["exception"] is not None
    yield text[start:], excepted


def _read(clause: str) -> tuple[Polarity | None, tuple[tuple[Span, Polarity], ...]]:
    """The strongest assertion of one clause, None where it holds neither finding nor cue; and that of each finding."""
    findings = finding_mentions(clause)
    if rule("not_normal").search(clause):
        return "positive", tuple((span, "positive") for span in findings)
    doubts_before = _spans(rule("uncertain_before"), clause) + _spans(_QUERY_BEFORE, clause)
    doubts_after = _spans(rule("uncertain_after"), clause) + _spans(_QUERY_AFTER, clause)
    undoubted = _blank(
        rule("uncertain_after"), _blank(rule("uncertain_before"), _blank(rule("partly_resolved"), clause))
    )
    denials_after = _spans(rule("negation_after"), undoubted)
    denials_before = _spans(rule("negation_before"), _blank(rule("negation_after"), undoubted))
    normal = rule("normal").search(clause) is not None
    # "nothing to suggest" denies; "no effusion, possibly a nodule" does not deny the nodule.
    doubts_before = [doubt for doubt in doubts_before if not _denied(clause, doubt, denials_before)]

    def said_of(mention: Span) -> Polarity:
        if _reached(clause, mention, doubts_before, doubts_after):
            return "uncertain"
        return "negated" if _reached(clause, mention, denials_before, denials_after) else "positive"

    read = tuple((mention, said_of(mention)) for mention in findings)
    measured = [] if normal else [said_of(mention) for mention in _spans(_MEASURED, clause)]
    readings: set[Polarity] = {polarity for _, polarity in read} | set(measured)
    if not readings:
        if doubts_before or doubts_after:
            readings.add("uncertain")
        # An absent organ is a finding: "the gallbladder is absent".
        elif denials_before or any(not clause[start:end].endswith("absent") for start, end in denials_after):
            readings.add("negated")
    if normal:
        readings.add("normal")
    return next((polarity for polarity in _STRONGEST_FIRST if polarity in readings), None), read


def _spans(pattern: re.Pattern[str], text: str) -> list[Span]:
    return [match.span() for match in pattern.finditer(text)]


def _denied(clause: str, doubt: Span, denials: list[Span]) -> bool:
    return any(end <= doubt[0] and "," not in clause[end : doubt[0]] for _, end in denials)


def _reached(clause: str, mention: Span, before: list[Span], after: list[Span]) -> bool:
    """Whether a cue before the finding, or one after it in the same enumeration, governs it."""
    if any(end <= mention[0] for _, end in before):
        return True
    return any(mention[1] <= start and not _leaves_the_list(clause[mention[1] : start]) for start, _ in after)


def _leaves_the_list(between: str) -> bool:
    """Whether the words from a finding to a cue after it end its clause: "nodule in the apex, effusion is not seen"."""
    head, comma, _ = between.partition(",")
    return bool(comma) and _VERB_OR_PLACE.search(head) is not None
