"""Headings of a report: those that open a section, and those that say which organ a sentence is about."""

from __future__ import annotations

import re
from typing import Literal

from simcrop_core.text.lexicon import finding_mentions
from simcrop_core.text.rules import rule

Section = Literal["findings", "impression", "technique", "comparison", "clinical information", "other"]

_ADVICE = r"recommendations?|advice|follow-?up"
_SECTION_NAMES: tuple[tuple[Section, str], ...] = (
    (
        "findings",
        r"(?:ct |chest |imaging |radiologic(?:al)? )*findings?(?: and impressions?)?|report|description|observations?",
    ),
    (
        "impression",
        r"(?:ct |final |radiologic(?:al)? |overall )?(?:impressions?|conclusions?|opinions?|summary|interpretation"
        r"|assessment|diagnos[ie]s)",
    ),
    (
        "technique",
        r"(?:ct |scan(?:ning)? |imaging |examination )?(?:techniques?|protocols?|procedures?|methods?|parameters)"
        r"|contrast(?: (?:media|medium|material|agent))?|(?:radiation )?dose",
    ),
    (
        "comparison",
        r"comparisons?(?: (?:studies|study|exams?))?|compared (?:to|with)|priors"
        r"|(?:prior|previous) (?:studies|study|exams?|examinations?|imaging)",
    ),
    (
        "clinical information",
        r"(?:clinical |patient |medical |relevant )?(?:information|indications?|history|data|details|questions?"
        r"|background)"
        r"|(?:clinical|preliminary) diagnos[ie]s|reason for (?:the )?(?:exam\w*|study|scan|referral)"
        r"|(?:presenting )?(?:symptoms?|complaints?)|referral",
    ),
    ("other", rf"exam(?:ination)?|study|{_ADVICE}|addend(?:um|a)|attestation|signature|patient|name|date"),
)
_ANY_SECTION = "|".join(f"(?P<s{i}>{names})" for i, (_, names) in enumerate(_SECTION_NAMES))
_MARKUP = r"[\s*_#]*"
_SECTION = re.compile(rf"^{_MARKUP}(?P<title>{_ANY_SECTION}){_MARKUP}(?:(?::|\s[-–](?=\s)){_MARKUP}|$)", re.IGNORECASE)
_INLINE_SECTION = re.compile(
    r"(?:^|(?<!\s)\s++)(?P<opening>\**(?P<title>" + "|".join(names for _, names in _SECTION_NAMES) + r")\s*:)",
    re.IGNORECASE,
)
_ADVICE_TITLE = re.compile(_ADVICE, re.IGNORECASE)

_PREFIX = re.compile(r"^[\s*_#]*(?P<heading>[^\W\d_][^:.;?!\d]{1,60}?)[\s*_]*:(?![/\d])[\s*_]*(?P<rest>.*)$", re.DOTALL)
_LONGEST_HEADING = 6  # words
_HEADING_WORD = re.compile(r"[^\s,/()&-]+")


def section_heading(line: str) -> tuple[Section, str, str] | None:
    """(section, title as written, rest of the line) where a line opens a section, else None."""
    match = _SECTION.match(line)
    if match is None:
        return None
    section = next(name for i, (name, _) in enumerate(_SECTION_NAMES) if match[f"s{i}"] is not None)
    return section, match["title"], line[match.end() :]


def is_advice(title: str) -> bool:
    """Whether a section's title announces recommendations."""
    return _ADVICE_TITLE.fullmatch(title) is not None


def break_before_sections(text: str) -> str:
    """The text with every section that opens in the middle of a line on a line of its own.

    A name opens one there where it is in capitals or follows the end of a sentence, and has its colon.
    """

    def on_its_own_line(match: re.Match[str]) -> str:
        opens = match["title"].isupper() or text.endswith((".", ";"), 0, match.start())
        return "\n" + match["opening"] if opens else match[0]

    return _INLINE_SECTION.sub(on_its_own_line, text)


def split_heading(sentence: str) -> tuple[str, str]:
    """(organ heading, rest) of "Pleura: Normal."; the heading is empty where there is none."""
    match = _PREFIX.match(sentence)
    if match is None or not _names_an_organ(match["heading"]):
        return "", sentence
    return match["heading"].strip(), match["rest"]


def heading_line(line: str) -> str:
    """The heading that a line of its own is ("Lungs and airways:", "MEDIASTINUM"), empty where it is none.

    Without a colon only organ words in capitals or markup make one: a line such as "CARDIOMEGALY" is a finding.
    """
    heading = line.strip(" \t*_#:-")
    if not 0 < len(_HEADING_WORD.findall(heading)) <= _LONGEST_HEADING or re.search(r"[.;?!\d]", heading):
        return ""
    if line.rstrip(" *_").endswith(":"):
        return heading
    marked = heading.isupper() or line.startswith(("#", "**"))
    return heading if marked and _only_organ_words(heading) and not finding_mentions(heading) else ""


def _names_an_organ(heading: str) -> bool:
    shouted = heading.isupper() and len(heading) > 3 and len(_HEADING_WORD.findall(heading)) <= _LONGEST_HEADING
    return shouted or _only_organ_words(heading)


def _only_organ_words(heading: str) -> bool:
    words = [word for word in _HEADING_WORD.findall(heading) if not rule("heading_links").fullmatch(word)]
    return bool(words) and all(rule("heading_organs").fullmatch(word) for word in words)
