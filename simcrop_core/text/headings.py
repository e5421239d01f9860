"""Headings of a report: those that open a section, and those that say which organ a sentence is about."""

from __future__ import annotations

import re
from typing import Literal

Section = Literal["findings", "impression", "technique", "comparison", "clinical information", "other"]

_SECTION_NAMES: dict[Section, str] = {
    "findings": r"(?:ct |chest |imaging |radiologic(?:al)? )*findings?(?: and impressions?)?|report|description|observations?",
    "impression": r"(?:ct |final |radiologic(?:al)? |overall )?(?:impressions?|conclusions?|opinions?|summary|interpretation|assessment"
    r"|diagnos[ie]s)",
    "technique": r"(?:ct |scan(?:ning)? |imaging |examination )?(?:techniques?|protocols?|procedures?|methods?|parameters)"
    r"|contrast(?: (?:media|material|agent))?|(?:radiation )?dose",
    "comparison": r"comparisons?(?: (?:studies|study|exams?))?|compared (?:to|with)|(?:prior|previous) (?:studies|study|exams?"
    r"|examinations?|imaging)|priors",
    "clinical information": r"(?:clinical |patient |medical |relevant )?(?:information|indications?|history|data|details|questions?|background)"
    r"|(?:clinical|preliminary) diagnos[ie]s|reason for (?:the )?(?:exam\w*|study|scan|referral)|(?:presenting )?(?:symptoms?|complaints?)|referral",
    "other": r"exam(?:ination)?|study|recommendations?|advice|follow-?up|addend(?:um|a)|attestation|signature|patient|name|date",
}
_ANY_SECTION = "|".join(f"(?P<s{i}>{names})" for i, names in enumerate(_SECTION_NAMES.values()))
_MARKUP = r"[\s*_#]*"
_SECTION = re.compile(rf"^{_MARKUP}(?:{_ANY_SECTION}){_MARKUP}(?::|\s[-–]\s|$){_MARKUP}", re.IGNORECASE)
# Sections that follow each other on one line: the name in capitals, or after the end of a sentence.
_INLINE = re.compile(
    r"(?<=\S)[ ]+(?=(?:" + "|".join(_SECTION_NAMES.values()).replace("(?P<", "(?:<").upper().replace("(?:", "(?:") + r")\s*:)"
)
