"""What a sentence is about, as far as rules tell: kinds of findings and sides, as sets that can be compared by bits."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from simcrop_core.text.assertion import asserted_part
from simcrop_core.text.lexicon import finding_mentions
from simcrop_core.text.report import parse_sentence

_FLUID = r"effusion|fluid|hydrothora"
_HEART = r"pericard|heart|cardiac"
_CALCIUM = r"calcifi|plaque|atherom|atheroscl"
# A kind of finding and what a sentence about it holds, by stems; all that look ahead must be found.
_KINDS: tuple[tuple[str, str], ...] = (
    ("nodule", r"\b(?:micro)?nodul|\bggns?\b"),
    ("mass", r"\bmass(?:es)?\b|\btumou?r|neoplas|carcinom|malignan|metasta|\blesion"),
    ("opacity", r"ground[- ]?glass|\bggos?\b|\bopaci|densit(?:y|ies)\b|haz[ey]"),
    ("consolidation", r"consolidat|pneumoni|infiltrat|bronchogram|airspace|air-space"),
    ("pleural effusion", rf"^(?=.*(?:{_FLUID}))(?:(?=.*pleura|.*hydrothora)|(?!.*(?:{_HEART})))"),
    ("pericardial effusion", rf"^(?=.*(?:{_FLUID}))(?=.*(?:{_HEART}))"),
    ("pneumothorax", r"pneumothora|^(?=.*\bair\b)(?=.*pleura)"),
    ("emphysema", r"emphysem|\bbull(?:a|ae|ous)\b|\bblebs?\b|hyperinflat|hyperlucen"),
    ("atelectasis", r"atelecta|\bcollaps|volume loss|loss of volume"),
    ("fibrosis", r"fibro|sequel|\bscar|reticul|honeycomb|\bbands?\b|\bstrands?\b|\blinear\b"),
    ("bronchiectasis", r"bronchi(?:ol)?ecta|^(?=.*(?:dilat|widen|ectat))(?=.*bronch)"),
    ("bronchial wall", r"peribronch|^(?=.*bronch)(?=.*(?:thick|wall))"),
    ("septa", r"\bsept(?:al|a)\b|interlobular|kerley|crazy[- ]paving"),
    ("mosaic", r"mosaic|air[- ]trapping"),
    ("coronary calcification", rf"^(?=.*(?:{_CALCIUM}))(?=.*coronar)"),
    ("arterial calcification", rf"^(?=.*(?:{_CALCIUM}))(?=.*(?:aort|arter|vascul|vessel|athero))(?!.*coronar)"),
    ("heart size", r"cardiomegal|^(?=.*(?:enlarg|dilat|increased|ratio))(?=.*(?:heart|cardi|ventric|atri))"),
    ("hernia", r"hernia"),
    ("lymph nodes", r"lymph|adenopath"),
    ("device", r"catheter|\btubes?\b|pacemaker|\bstent|\bwires?\b|\bclips?\b|prosthe|\bport\b|\bdrain|electrode"
               r"|\bleads?\b|\bimplant|\bdevice|foreign|cerclage|medical material"),
    ("fracture", r"fractur"),
    ("degeneration", r"osteophyt|spondyl|degenerat|scolio|kypho"),
    ("cyst", r"\bcysts?\b|\bcystic\b"),
    ("steatosis", r"steatos|fatty"),
    ("stone", r"\bstones?\b|calcul(?:us|i)\b|lithiasis"),
)  # fmt: skip
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for name, pattern in _KINDS)
# A finding of none of these kinds; two such are taken for the same, which costs a negative and never makes a false one.
_OTHER = 1 << len(_KINDS)
LEFT, RIGHT = 1, 2
_SIDES = {"left": LEFT, "right": RIGHT, "bilateral": LEFT | RIGHT, None: LEFT | RIGHT}


@dataclass(frozen=True, slots=True)
class Topic:
    """What a sentence is about.

    Attributes:
        kinds: a bit for each kind of finding it asserts, or denies where it asserts none; 0 where it names none.
        sides: `LEFT`, `RIGHT` or both, which is also what a sentence without a side may mean.
        asserted: whether it says that the finding is there, certainly or not.
    """

    kinds: int
    sides: int
    asserted: bool

    def alike(self, other: Topic) -> bool:
        """Whether both may be about the same thing: a kind and a side in common, said to be there by both or neither.

        "A nodule in the left lung" and "Multiple nodules" are.
        """
        return self.asserted == other.asserted and self.meets(other)

    def meets(self, other: Topic) -> bool:
        """Whether both name a kind and a side in common, whatever they say of it."""
        return bool(self.kinds & other.kinds and self.sides & other.sides)


@functools.lru_cache(maxsize=1 << 18)
def topic_of(text: str) -> Topic:
    """The topic of a sentence; recommendations, comparisons and technique have no kinds."""
    statement = parse_sentence(text)
    asserted = statement.polarity in ("positive", "uncertain")
    said = asserted_part(text) if asserted else text
    kinds = _kinds_of(said) if statement.kind == "finding" else 0
    return Topic(kinds, _SIDES[statement.side], asserted and kinds != 0)


def _kinds_of(text: str) -> int:
    kinds = sum(1 << bit for bit, (_, pattern) in enumerate(_PATTERNS) if pattern.search(text))
    return kinds or (_OTHER if finding_mentions(text) else 0)
