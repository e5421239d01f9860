"""What a sentence is for: a finding, a comparison, a recommendation, or how and why the scan was made."""

from __future__ import annotations

import re

from simcrop_core.results import Kind
from simcrop_core.text.headings import Section
from simcrop_core.text.lexicon import finding_mentions
from simcrop_core.text.rules import rule

# "for which follow-up is advised": what comes before is a finding and its own sentence.
_ADVICE_CLAUSE = re.compile(
    r"[,;–—]|\b(?:for which|and (?=follow|biops|further|ct|pet|correlat)|which (?=should|warrants?|requires?|needs?))",
    re.I,
)
_REASON = re.compile(
    r"^\W*(?:given|because|in view of|due to|for|regarding|if|in case|as|since|considering|with respect|depending)\b",
    re.IGNORECASE,
)

_WORD = re.compile(r"[a-z]+", re.IGNORECASE)


def kind_of(text: str, section: Section = "findings") -> Kind:
    """What a sentence is for.

    A sentence that also names a finding of its own ("Nodule in the lingula, follow-up is advised") is a finding. How
    and why the scan was made, what limits it and who signed are all "technique", and so is clinical information:
    nothing of it is to be looked for in the scan.

    Args:
        text: the sentence.
        section: the part of the report it stands in; the technique, comparison and clinical sections decide alone.
    """
    if section in ("technique", "clinical information"):
        return "technique"
    if section == "comparison":
        return "comparison"
    advice = rule("recommendation", after_hyphen=True).search(text)
    if advice is not None:
        return "finding" if _finding_before(text, advice) else "recommendation"
    if rule("technique", after_hyphen=True).search(text) or _is_scan_title(text):
        return "technique"
    if not finding_mentions(text):
        if rule("comparison", after_hyphen=True).search(text):
            return "comparison"
        if rule("contrast_medium", after_hyphen=True).search(text) and not rule("normal").search(text):
            return "technique"
    return "finding"


def _finding_before(text: str, advice: re.Match[str]) -> bool:
    """Whether a clause before the advice states a finding, rather than the reason for the advice."""
    ends = [match.start() for match in _ADVICE_CLAUSE.finditer(text[: advice.end()]) if match.start() <= advice.start()]
    statement = text[: max(ends)] if ends else ""
    return bool(finding_mentions(statement)) and _REASON.match(statement) is None


def _is_scan_title(text: str) -> bool:
    """Whether a sentence only names the scan: "Low-dose CT of the chest without contrast."."""
    named = [word for word in _WORD.findall(text) if rule("scan").fullmatch(word)]
    return bool(named) and all(rule("scan_title").fullmatch(word) for word in _WORD.findall(text))
