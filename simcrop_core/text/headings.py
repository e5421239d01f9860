"""Headings of a report: those that open a section, and those that say which organ a sentence is about."""

from __future__ import annotations

import re
from typing import Literal

Section = Literal["findings", "impression", "technique", "comparison", "clinical information", "other"]

_ADVICE = r"recommendations?|advice|follow-?up"
_SECTION_NAMES: tuple[tuple[Section, str], ...] = (
    ("findings", r"(?:ct |chest |imaging |radiologic(?:al)? )*findings?(?: and impressions?)?|report|description|observations?"),
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
        r"(?:clinical |patient |medical |relevant )?(?:information|indications?|history|data|details|questions?|background)"
        r"|(?:clinical|preliminary) diagnos[ie]s|reason for (?:the )?(?:exam\w*|study|scan|referral)"
        r"|(?:presenting )?(?:symptoms?|complaints?)|referral",
    ),
    ("other", rf"exam(?:ination)?|study|{_ADVICE}|addend(?:um|a)|attestation|signature|patient|name|date"),
)
_ANY_SECTION = "|".join(f"(?P<s{i}>{names})" for i, (_, names) in enumerate(_SECTION_NAMES))
_MARKUP = r"[\s*_#]*"
_SECTION = re.compile(
    rf"^{_MARKUP}(?P<title>{_ANY_SECTION}){_MARKUP}(?:(?::|\s[-–](?=\s)){_MARKUP}|$)", re.IGNORECASE
)
_INLINE_SECTION = re.compile(
    r"(?<=\S)\s+(?=\**(?P<title>" + "|".join(names for _, names in _SECTION_NAMES) + r")\s*:)", re.IGNORECASE
)
_ADVICE_TITLE = re.compile(_ADVICE, re.IGNORECASE)

# What an organ heading is made of; a heading holds nothing else.
_ORGANS = r"""
lungs? airways? bronch\w* trache\w* tracheobronchial tree parenchym\w* pulmonary lobes? lingula rul rml rll lul lll interstitium nodules?
emphysema opacities pleura\w* spaces? fissures? heart cardi\w* pericardi\w* cardiovascular coronar\w* arter\w* veins? valves? vessels?
vascul\w* vasculature aort\w* mediastin\w* hila hilum hilar lymph nodes? adenopathy lymphadenopathy esophagus oesophagus thymus chest thorax
thoracic walls? axill\w* breasts? diaphragm\w* bones? bony osseous skelet\w* musculoskeletal spine spinal ribs? sternum soft tissues? abdom\w*
liver spleen pancreas kidneys? adrenals? glands? gallbladder biliary stomach bowel retroperitoneum necks? thyroid supraclavicular
structures? organs? regions? system findings lines? tubes? catheters? devices? hardware support effusions? pneumothorax embol\w* cavity
consolidation atelectasis calcifications? great base bases apex apices size contours?
""".split()
_LINKS = r"""
and or the of in with & / other visible visuali[sz]ed imaged included limited partially partly incidental extra upper lower middle
left right bilateral both sided images? sections? views? ct level
""".split()
_ORGAN = re.compile(r"(?:" + "|".join(_ORGANS) + r")", re.IGNORECASE)
_LINK = re.compile(r"(?:" + "|".join(_LINKS) + r")", re.IGNORECASE)
_PREFIX = re.compile(r"^[\s*_#]*(?P<heading>[^\W\d_][^:.;?!\d]{1,60}?)[\s*_]*:(?![/\d])[\s*_]*(?P<rest>.*)$", re.DOTALL)
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
        opens = match["title"].isupper() or text[match.start() - 1] in ".;"
        return "\n" if opens else match[0]

    return _INLINE_SECTION.sub(on_its_own_line, text)


def split_heading(sentence: str) -> tuple[str, str]:
    """(organ heading, rest) of "Pleura: Normal."; the heading is empty where there is none."""
    match = _PREFIX.match(sentence)
    if match is None or not _names_an_organ(match["heading"]):
        return "", sentence
    return match["heading"].strip(), match["rest"]


def heading_line(line: str) -> str:
    """The heading that a line of its own is ("Lungs and airways:", "MEDIASTINUM"), empty where it is none."""
    heading = line.strip(" \t*_#:-")
    titled = line.rstrip(" *_").endswith(":") or line.startswith(("#", "**"))
    short = 0 < len(_HEADING_WORD.findall(heading)) <= 6 and not re.search(r"[.;?!\d]", heading)
    return heading if short and (titled or (heading.isupper() and _names_an_organ(heading))) else ""


def _names_an_organ(heading: str) -> bool:
    words = [word for word in _HEADING_WORD.findall(heading) if not _LINK.fullmatch(word)]
    known = bool(words) and all(_ORGAN.fullmatch(word) for word in words)
    shouted = heading.isupper() and len(heading) > 3 and len(words) <= 4
    return known or shouted
