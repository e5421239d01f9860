"""A report's text to its sentences."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

_SEPARATOR = re.compile(r'""|\r\n?|[\v\f\u2028\u2029]')
_BLANKS = re.compile(r"[^\S\n]")
_BULLET = re.compile(r"^(?:[-*•▪●·–—>o]+\s+|[a-hA-H][.)]\s+|\d{1,2}\s*[-–]\s+(?=[A-Z]))(?=\S)|^[•▪●]\s*")
_NUMBER = re.compile(r"^\(?(?P<number>\d{1,2})[.)]\s+(?=\S)")
_HEADING_LINE = re.compile(r"^\w[\w ,/&()-]{1,60}:")
# A line that ends so goes on in the next one.
_UNFINISHED = re.compile(
    r"(?:,|-|\b(?:the|a|an|of|in|at|on|to|and|or|with|without|from|for|by|no|is|are|was|were|as|than|left|right|both"
    r"|upper"
    r"|middle|lower|which|that|measuring|mild|small|large|approximately|about|near|into|along|between|within))$",
    re.IGNORECASE,
)
_WRAPPED_LENGTH = 40
# What is looked at before and after a place in a line: longer than any abbreviation or word that matters there.
_NEAR = 60

# A run is tried from its first character only, and never in part: else a page of dots or blanks takes for ever.
_STOP = re.compile(r"""(?<![.;?!])[.;?!]++["')\]]*+(?=\s|$)|(?<=[a-z)])\.(?=[A-Z][a-z])|(?<!\s)\s{2,}+(?=[A-Z0-9("])""")
_BRACKETS = re.compile(r"\([^()]{0,200}\)|\[[^\[\]]{0,200}\]")
# No sentence ends in these; the second list only where a small letter or a number goes on.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|approx|vs|cf|incl|resp|ca|(?:dr|prof|mr|mrs|ms)(?:\.? [A-Z])?)\.$", re.IGNORECASE
)
_ABBREVIATION_INSIDE = re.compile(
    r"(?:^|[\s(\d])(?:[cm]m|cc|ml|etc|max|min|no|nr|fig|im|ima|img|se|ser|st|lt|rt|seg|al|avg|temp|diam|lat|med|post"
    r"|ant|sup|inf)\.$",
    re.IGNORECASE,
)
_MARKER = re.compile(r"(?<![\w.,/-])\(?(?P<number>\d{1,2})[.)]\s+(?=[A-Z])")
# A number after one of these belongs to it and opens no list item.
_COUNTED = re.compile(
    r"(?:segments?|series|images?|slices?|grade|stage|level|category|type|group|rads|station|zones?|T|L|C|S|se|im|no"
    r"|score|phase)[\s.:-]*$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_PLACEHOLDER = re.compile(
    r"\W*+(?:not (?:given|available|applicable|provided|stated|specified|known)|none(?: (?:given|available|provided))?"
    r"|n ?/ ?a|nil|unknown|see above|as above)?\W*",
    re.IGNORECASE,
)


def split_sentences(text: str) -> list[str]:
    """Every sentence of a text, in order, list markers removed.

    Breaks at `.`, `;`, `?`, `!`, line ends, wide gaps before a capital, `""` and numbered items; not inside numbers,
    brackets, after abbreviations, nor where a line is only wrapped. A line that ends in ":" opens the next one. Pieces
    without a word join the sentence before. Placeholders ("Not given.") are no sentences.
    """
    sentences: list[str] = []
    opening = ""
    for line in logical_lines(text):
        line = f"{opening} {line}".strip()
        opening = line if line.endswith(":") else ""
        if not opening:
            sentences += sentences_of_line(line)
    return sentences


def logical_lines(text: str) -> list[str]:
    """The lines of a text, wrapped ones joined and list markers removed; an empty string for each blank line."""
    lines: list[str] = []
    for raw in _BLANKS.sub(" ", _SEPARATOR.sub("\n", text)).split("\n"):
        line = raw.strip()
        if line and lines and lines[-1] and _continues(lines[-1], line):
            previous = lines.pop()
            line = previous + line if re.search(r"\w-$", previous[-2:]) else f"{previous} {line}"
        lines.append(line)
    return [_BULLET.sub("", line) for line in lines]


def sentences_of_line(line: str) -> list[str]:
    """The sentences of one logical line."""
    sentences: list[str] = []
    opening: list[str] = []
    words = 0
    for raw in _pieces(line):
        piece = " ".join(raw.split())
        if not piece:
            continue
        found = _WORD.findall(piece)
        words = words + len(found) if opening else len(found)
        if words >= 2 or any(len(word) >= 3 for word in found):
            sentences.append(" ".join([*opening, piece]))
            opening = []
        elif sentences:
            sentences[-1] += f" {piece}"
        else:
            # Neither a word of three letters nor two words is no sentence ("T4-5.", "2."): it opens the next.
            opening.append(piece)
    if opening and words:
        sentences.append(" ".join(opening))
    return [sentence for sentence in sentences if not is_placeholder(sentence)]


def is_placeholder(text: str) -> bool:
    """Whether a text only says that nothing is said: "Not given.", "N/A", or nothing at all."""
    return _PLACEHOLDER.fullmatch(text) is not None


def _continues(line: str, following: str) -> bool:
    """Whether `following` is the rest of a wrapped line."""
    if line[-1] in ".;:?!" or _BULLET.match(following) or _NUMBER.match(following):
        return False
    if not following.isupper() and line.isupper():
        return False  # a heading in capitals
    if _UNFINISHED.search(line[-_NEAR:]):
        return True
    goes_on = following[0].islower() or following[0].isdigit() or following[0] == "("
    return goes_on and len(line) >= _WRAPPED_LENGTH and not _HEADING_LINE.match(following)


def _pieces(line: str) -> Iterator[str]:
    first = _NUMBER.match(line)
    start = first.end() if first else 0
    for end, following in sorted(_stops(line) | _markers(line)):
        if end >= start:
            yield line[start:end]
            start = following
    yield line[start:]


def _stops(line: str) -> set[tuple[int, int]]:
    """(end of a sentence, start of what follows) at every stop that ends one."""
    brackets = [match.span() for match in _BRACKETS.finditer(line)]
    return {
        (match.end(), match.end())
        for match in _STOP.finditer(line)
        if not _is_bracketed(match.start(), brackets) and not _is_inside(line, match)
    }


def _is_bracketed(place: int, brackets: list[tuple[int, int]]) -> bool:
    """Whether a place is inside one of the brackets, which are in order and apart."""
    last = bisect_left(brackets, (place,)) - 1
    return last >= 0 and place < brackets[last][1] - 1


def _is_inside(line: str, stop: re.Match[str]) -> bool:
    """Whether a full stop belongs to an abbreviation or an ordinal, so that the sentence goes on."""
    if stop[0] != ".":
        return False
    before = line[max(0, stop.end() - _NEAR) : stop.end()]
    after = line[stop.end() : stop.end() + _NEAR].lstrip()
    if _ABBREVIATION.search(before):
        return True
    goes_on = bool(after) and (after[0].islower() or after[0].isdigit() or after[0] in ",-(/")
    return goes_on and (_ABBREVIATION_INSIDE.search(before) is not None or line[stop.start() - 1].isdigit())


def _markers(line: str) -> set[tuple[int, int]]:
    """(start, end) of the numbers of items inside a line: in sequence, or each after the end of a sentence."""
    found: set[tuple[int, int]] = set()
    first = _NUMBER.match(line)
    expected = int(first["number"]) + 1 if first else 1
    for match in _MARKER.finditer(line):
        before = line[max(0, match.start() - _NEAR) : match.start()]
        if _COUNTED.search(before):
            continue
        if int(match["number"]) == expected or re.search(r"[.;?!:]\s*$", before):
            found.add((match.start(), match.end()))
            expected = int(match["number"]) + 1
    return found
