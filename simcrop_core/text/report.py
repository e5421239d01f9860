"""A report, or one typed sentence, to what it states."""

from __future__ import annotations

import re
from dataclasses import dataclass

from simcrop_core.errors import NothingToGround
from simcrop_core.results import ImageReference, Kind, Lobe, Polarity, Side
from simcrop_core.text.anatomy import Region, region_of
from simcrop_core.text.assertion import asserted_part, polarity_of
from simcrop_core.text.headings import (
    Section,
    break_before_sections,
    heading_line,
    is_advice,
    section_heading,
    split_heading,
)
from simcrop_core.text.image_reference import image_reference_in
from simcrop_core.text.kind import kind_of
from simcrop_core.text.location import lobe_of, side_of
from simcrop_core.text.sentences import logical_lines, sentences_of_line

# Headings that tell nothing about where to look.
_EMPTY_HEADING = re.compile(
    r"(?:other|additional|further|incidental|miscellaneous|general|notes?|remarks?|result|findings|\W)*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of a report and what the rules of docs/text.md read from it.

    Attributes:
        text: the sentence as written, white space normalised.
        section: the part of the report it stands in.
        heading: the organ heading above or before it, "" where there is none.
        polarity: whether it says that something is there.
        kind: what it is for.
        side: of the body, where it names one.
        lobe: the one lobe it names.
        region: the part of the body it is about, None where it does not say.
        reference: the image it points at.
    """

    text: str
    section: Section
    heading: str
    polarity: Polarity
    kind: Kind
    side: Side | None
    lobe: Lobe | None
    region: Region | None
    reference: ImageReference | None

    @property
    def grounding_text(self) -> str:
        """What is embedded: the sentence with its heading, without which "Normal." could be about anything."""
        return _with_heading(self.text, self.heading)


# A terminal or a page may obey them. Those that end a line do so.
_CONTROLS = {n: " " for n in (*range(32), *range(127, 160)) if chr(n) not in "\t\n\r\x0b\x0c\x1c\x1d\x1e\x85"}


def _printable(text: str) -> str:
    return text.translate(_CONTROLS)


def parse_report(text: str) -> list[Statement]:
    """Every sentence of a report, in order; empty where it has none.

    Without section headings the whole text counts as findings; with them, what comes before the first is "other".

    Args:
        text: the whole report, plain text.
    """
    lines = logical_lines(break_before_sections(_printable(text)))
    section: Section = "other" if any(section_heading(line) for line in lines) else "findings"
    heading, advice = "", False
    statements: list[Statement] = []
    for line in lines:
        opened = section_heading(line)
        if opened is not None:
            section, title, body = opened
            heading, advice = "", is_advice(title)
        elif organ := heading_line(line):
            heading, body = _informative(organ), ""
        else:
            body = line
        if not line:
            heading = heading if statements and statements[-1].heading != heading else ""
        statements += _statements_of_line(body, section, heading, advice=advice)
    return statements


def parse_sentence(text: str, *, heading: str = "") -> Statement:
    """One typed sentence; "Pleura: Normal." carries its own heading.

    Args:
        text: the sentence.
        heading: what it is about, where the sentence itself does not say.

    Raises:
        NothingToGround: the text is empty.
    """
    sentence = " ".join(_printable(text).split())
    if not sentence:
        raise NothingToGround("The sentence is empty.", hint='Type a finding, such as "Nodule in the left upper lobe."')
    own, _ = split_heading(sentence)
    return _statement(sentence, "findings", _informative(own) or heading.strip(" :"))


def _statements_of_line(line: str, section: Section, heading: str, *, advice: bool) -> list[Statement]:
    """The sentences of one line; a heading on the line holds to its end."""
    statements: list[Statement] = []
    for sentence in sentences_of_line(line):
        own, rest = split_heading(sentence)
        if own:
            heading = _informative(own)
        if rest.strip():
            statements.append(_statement(sentence, section, heading, advice=advice))
    return statements


def _statement(sentence: str, section: Section, heading: str, *, advice: bool = False) -> Statement:
    _, body = split_heading(sentence)
    where = _with_heading(asserted_part(body), heading)
    kind = kind_of(body, section)
    return Statement(
        text=sentence,
        section=section,
        heading=heading,
        polarity=polarity_of(body),
        kind="recommendation" if advice and kind != "technique" else kind,
        side=side_of(where),
        lobe=lobe_of(where),
        region=region_of(where),
        reference=image_reference_in(sentence),
    )


def _with_heading(sentence: str, heading: str) -> str:
    return sentence if not heading or sentence.startswith(heading) else f"{heading}: {sentence}"


def _informative(heading: str) -> str:
    return "" if _EMPTY_HEADING.fullmatch(heading) else heading
