"""Whether a sentence says that something is there, is not there, may be there, or that all is normal."""

from __future__ import annotations

import re
from collections.abc import Iterable

from simcrop_core.results import Polarity
from simcrop_core.text.lexicon import finding_mentions


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(?:" + "|".join(patterns) + r")(?![\w-])")


_BE = r"(?:is|are|was|were|be|been|being)"
_ADVERB = r"(?:\w+ly |well |yet |any ?more |longer )*"
_SEEN = (
    r"(?:seen|observed|detected|identified|demonstrated|visuali[sz]ed|present|noted|found|evident|appreciated|visible"
    r"|shown|encountered|recogni[sz]ed|discernible|delineated|apparent|depicted|displayed|traceable|in evidence)"
)
_EXCLUDED = r"(?:excluded|ruled out|dismissed)"
_PRIOR = r"(?:prior|previous|earlier|old|last|former|baseline|comparison|preceding|initial)"
_CHANGE = (
    r"(?:chang(?:e|es|ed)|growth|increase[ds]?|decrease[ds]?|enlargement|progress(?:ion|ed)?|regress(?:ion|ed)"
    r"|difference|development)"
)

# Words of negation that deny no finding; they are blanked out before the rest is read.
_PSEUDO_NEGATION = _words(
    rf"(?:no|without)(?: (?:\w+ly|significant|interval|relevant|definite|obvious|real|major|appreciable|further|new|clear"
    rf"|notable|substantial|measurable|dimensional|size|gross))*(?: or \w+)? {_CHANGE}",
    rf"(?:has|have|had|{_BE}) not (?:\w+ly )*{_CHANGE}|did not (?:\w+ly )*(?:change|grow|increase|decrease|progress|regress)",
    r"not only",
    r"no doubt|without (?:a )?doubt|no question",
    rf"not (?:previously|formerly|earlier) (?:{_SEEN}|described|reported|known)",
    rf"not {_ADVERB}{_SEEN} (?:on|in|at) (?:the |any |an? )?{_PRIOR}",
    r"not (?:yet |fully |completely |entirely |totally |quite )+(?:resolved|cleared|regressed|disappeared|healed|expanded)",
    r"not (?:yet )?(?:resolved|cleared|healed)",
    r"not (?:well|sharply|clearly) (?:defined|demarcated|circumscribed|delimited)",
    r"(?:upper|lower) limits? of (?:the )?normal",
)

# Two negations that together assert; blanked out as well.
_DOUBLE_NEGATION = _words(
    r"not (?:entirely |completely |wholly |altogether )?(?:without|free (?:of|from)|absent|devoid of|lacking)",
    r"(?:no|nor|neither|hardly any) (?:\w+ ){1,4}(?:\w+ )?(?:is |are |was |were |has been |have been )?"
    r"(?:without|free (?:of|from)|spared|devoid of|unaffected|uninvolved)",
)
_NOT_NORMAL = _words(
    r"not (?:\w+ly )?(?:normal|unremarkable|clear|patent|open|intact|preserved)",
    r"(?:no longer|not within|outside|above|exceeds?|beyond|larger than|greater than) (?:the )?normal(?: limits| range)?",
)

_UNCERTAIN_BEFORE = _words(
    r"possib(?:le|ly)|probabl[ey]|likely|presumabl[ey]|presumed|perhaps|questionabl[ey]|equivocal|suspected|suspicion(?: of| for)?",
    r"suspicious (?:for|of)|concern(?:ing)? for|worrisome for|suggest(?:s|ive|ing|ed)?(?: of)?|indicative of|compatible with",
    r"consistent with|in keeping with|favou?r(?:s|ed|ing)?|may(?! \d)|might|could|would|query|differential|versus|vs\.?",
    r"(?:can ?not|could not|can't|couldn't|unable to|difficult to|not possible to) (?:\w+ly )?(?:exclude|rule out)",
    r"(?:to|please) (?:exclude|rule out)|thought to (?:be|represent)|appears? to represent|in terms of|not certain|unclear|uncertain",
    r"evaluat(?:e|ion) for|doubtful|borderline|potential(?:ly)?|cf\.",
)
_QUERY_BEFORE = re.compile(r"(?:^|[\s(])\?+\s*(?=\w)")
_UNCERTAIN_AFTER = _words(
    rf"(?:can ?not|could not|can't|couldn't|may not|should not) be (?:\w+ly )?{_EXCLUDED}",
    rf"(?:{_BE} |has |have )?(?:not|difficult to|hard to|never) (?:\w+ly )?(?:{_BE} )?(?:{_EXCLUDED}|exclude|rule out)",
    rf"{_BE} (?:also )?(?:possible|probable|likely|suspected|questionable|conceivable|considered|favou?red|doubtful|equivocal"
    r"|uncertain|unclear|suggested|(?:also )?in the differential|thought)",
    r"(?:may|might|could) (?:also )?be (?:present|considered|possible)|not (?:certain|clear)",
)
_QUERY_AFTER = re.compile(r"\?+\s*$")

_NEGATION_BEFORE = _words(
    r"no|none|without|absence of|free (?:of|from)|negative for|neither|nor|never|not|n't|devoid of|lacks?|nothing|nil"
    r"|clear of|rather than|hardly any|resolution of|resolved|disappearance of|non"
)
_NOT_RESOLVED = _words(r"(?:partial|incomplete|near[- ]complete|some|ongoing|slow)(?:ly)? (?:resolution of|resolved)")
_NEGATION_AFTER = _words(
    rf"(?:not|no longer|never|nowhere) (?:{_BE} )?{_ADVERB}{_SEEN}",
    rf"{_BE} (?:completely |entirely |now )?(?:absent|negative|lacking|gone|{_EXCLUDED})|absent",
    r"(?:has|have|had) (?:since |now |\w+ly )*(?:resolved|disappeared|vanished|cleared|been excluded|been ruled out)",
    r"(?:resolved|disappeared) (?:completely|entirely)|completely resolved|without evidence|not (?:reported|mentioned)",
    r"(?<=:) ?(?:no|none|nil|absent|negative)",
)

_NORMAL = _words(
    r"normal(?:ly)?|unremarkable|within (?:normal|physiologic(?:al)?) limits|patent|open|clear|intact|preserved|natural|wnl"
    r"|regular|well[- ]aerated|fully expanded|physiologic(?:al)?|symmetric(?:al)?|unenlarged|undilated|of usual \w+|not remarkable"
    r"|homogeneous(?:ly)?|maintained|unaffected|spared|healthy|nonsuspicious"
)

# A new clause: what negates or doubts before it does not reach beyond it.
_EXCEPT = r"except(?:ing)?(?: for| that)?|apart from|aside from|other than|with the exception of|excluding|save for|besides"
_CLAUSE_END = re.compile(
    rf";|\.\s|(?P<except>(?<!\w)(?:{_EXCEPT})(?!\w))"
    r"|(?<!\w)(?:but(?: also| rather)?|however|although|though|even though|whereas|while|nevertheless|yet|despite|instead)(?!\w)"
    r"|,\s*(?:and\s+)?(?=(?:a|an|the|there|multiple|several|scattered|only|with a|with an|with multiple|its|this|these)\s)"
    r"|\band\s+(?=(?:there (?:is|are)|a |an ))|\bthere (?:is|are) (?!no\b|not\b|neither\b|hardly\b)"
)
_VERB_OR_PLACE = re.compile(r"\b(?:in|at|is|are|was|were|seen|measur\w+|with|shows?|has|have|on|within|along)\b")

_STRONGEST_FIRST: tuple[Polarity, ...] = ("positive", "uncertain", "negated", "normal")

Span = tuple[int, int]


def polarity_of(text: str) -> Polarity:
    """What a sentence asserts, by its strongest clause: positive, then uncertain, negated, normal.

    Every finding is read within its clause, so "nodule without calcification" is positive and "no effusion, but a
    nodule" too. A sentence without any cue is positive.
    """
    plain = _plain(text)
    if _DOUBLE_NEGATION.search(plain):
        return "positive"
    readings = [reading for _, reading in _readings(plain)]
    for polarity in _STRONGEST_FIRST:
        if polarity in readings:
            return polarity
    return "negated" if _PSEUDO_NEGATION.search(plain) and not finding_mentions(plain) else "positive"


def asserted_part(text: str) -> str:
    """A sentence without the clauses that deny or call normal, where another clause asserts something.

    "No effusion on the left, but a nodule on the right" is about the right.
    """
    plain = _plain(text)
    if _DOUBLE_NEGATION.search(plain):
        return text
    readings = _readings(plain)
    if not any(reading in ("positive", "uncertain") for _, reading in readings):
        return text
    return ", ".join(clause.strip() for clause, reading in readings if reading not in ("negated", "normal"))


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").split())


def _readings(plain: str) -> list[tuple[str, Polarity | None]]:
    """Each clause with what it asserts; an exception ("except at the left base") asserts even without a known finding."""
    return [
        (clause, _read(clause) or ("positive" if excepted and clause.strip(" .,:") else None))
        for clause, excepted in _clauses(_blank(_PSEUDO_NEGATION, plain))
    ]


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: " " * len(match[0]), text)


def _clauses(text: str) -> Iterable[tuple[str, bool]]:
    """The clauses of a sentence, each with whether it is an exception to the one before ("except for …")."""
    start, excepted = 0, False
    for match in _CLAUSE_END.finditer(text):
        yield text[start : match.start()], excepted
        start, excepted = match.end(), match["except"] is not None
    yield text[start:], excepted


def _read(clause: str) -> Polarity | None:
    """The strongest assertion of one clause, None where it holds neither a finding nor a cue."""
    if _NOT_NORMAL.search(clause):
        return "positive"
    doubts_before = _spans(_UNCERTAIN_BEFORE, clause) + _spans(_QUERY_BEFORE, clause)
    doubts_after = _spans(_UNCERTAIN_AFTER, clause) + _spans(_QUERY_AFTER, clause)
    undoubted = _blank(_UNCERTAIN_AFTER, _blank(_UNCERTAIN_BEFORE, _blank(_NOT_RESOLVED, clause)))
    denials_after = _spans(_NEGATION_AFTER, undoubted)
    denials_before = _spans(_NEGATION_BEFORE, _blank(_NEGATION_AFTER, undoubted))
    readings: set[Polarity] = set()
    mentions = finding_mentions(clause)
    # "nothing to suggest" denies; "no effusion, possibly a nodule" does not deny the nodule.
    doubts_before = [doubt for doubt in doubts_before if not _denied(clause, doubt, denials_before)]
    for mention in mentions:
        if _reached(clause, mention, doubts_before, doubts_after):
            readings.add("uncertain")
        elif _reached(clause, mention, denials_before, denials_after):
            readings.add("negated")
        else:
            readings.add("positive")
    if not mentions:
        if doubts_before or doubts_after:
            readings.add("uncertain")
        elif denials_before or [span for span in denials_after if clause[slice(*span)] != "absent"]:
            readings.add("negated")
    if _NORMAL.search(clause):
        readings.add("normal")
    return next((polarity for polarity in _STRONGEST_FIRST if polarity in readings), None)


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
