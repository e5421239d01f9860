"""What an audit found: the mean of every move with its interval, and how to read it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from simcrop_training.evaluate.grounding_benchmark.audit import Moved
from simcrop_training.evaluate.grounding_benchmark.questions import CHANGES, Change
from simcrop_training.evaluate.statistics import ROUNDS, Interval, bootstrap_mean
from simcrop_training.evaluate.written import line

_NOTHING = Interval(math.nan, math.nan, math.nan)
MOVES = ("score", "excess", "place", "evidence", "peak_mm", "side_flipped", "pointing", "distance_mm")
_HEADS: Mapping[str, str] = {
    "score": "score",
    "excess": "over usual",
    "place": "rank",
    "evidence": "evidence",
    "peak_mm": "peak moved, mm",
    "side_flipped": "other half",
    "pointing": "pointing",
    "distance_mm": "peak to mask, mm",
}
READINGS: Mapping[Change, str] = {
    "unchanged": "The same question again. Everything must be 0: what is not is noise, and so is as much elsewhere.",
    "swapped scan": "The sentence, asked of another patient. A model that looks must answer otherwise: a lower score, "
    "a worse rank, a peak elsewhere. Where the peak stays, the place comes from the words.",
    "mirrored scan": "The patient's left is right, and so is the mask. The anatomy wins in a model that looks: the "
    "peak goes to the other half of the patient and pointing stays. Where the peak stays, it follows the word.",
    "mirrored scan and sentence": "Scan and named side are both mirrored, so that all is true again. A model that "
    "looks must give back the score, with the peak in the other half.",
    "other side named": "The sentence names the side where the finding is not. A model that looks must score it lower "
    "than the true one, wherever it points.",
    "negated": "The finding is denied. A model that reads must score the denial lower than the finding.",
    "top-K occluded": "The patches that made the score are filled with plain lung. A model that looked at them must "
    "score lower, fall in rank and point elsewhere.",
    "others occluded": "As many other patches are filled. What falls here falls for any hole in the scan: only what "
    "the row above loses beyond this is what the model looked at.",
}


# What is left when two changes are set against each other, sentence by sentence.
AGREEMENT, BEYOND = "side agreement", "occlusion beyond others"
SIDED = "mirrored scan, side named"
_SUMS: Mapping[str, Mapping[Change, int]] = {
    AGREEMENT: {"mirrored scan and sentence": 1, "other side named": -1, "mirrored scan": -1},
    BEYOND: {"top-K occluded": 1, "others occluded": -1},
}
_OF_CHANGES: Mapping[str, str] = {str(change): reading for change, reading in READINGS.items()}
_SIDED: frozenset[Change] = frozenset({"mirrored scan", "other side named"})
_SUMMED = ("score", "excess", "place")
SUM_READINGS: Mapping[str, str] = {
    SIDED: "Of the mirrored scans, the sentences that name one side: how often the peak goes with the anatomy against "
    "the word.",
    AGREEMENT: "How much better sentence and scan fit where both speak of the same side, whichever wording the model "
    "prefers: right and left, true and mirrored, together. A model that ties sides to anatomy must be above 0 in score "
    "and below 0 in rank.",
    BEYOND: "What the sentence's own patches cost beyond any others. A model that looks must be below 0 in score and "
    "above 0 in rank.",
}


@dataclass(frozen=True, slots=True)
class Move:
    """A move, and whose it is."""

    scan: str
    patient: str
    moved: Moved


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One row: after less before, on average over sentences, intervals over patients.

    Attributes:
        change: what was changed, or which changes were set against each other.
        sentences: how many.
        moves: by figure; of a sum only score, excess and place.
    """

    change: str
    sentences: int
    moves: dict[str, Interval]


def changes(moved: Sequence[Move], *, rounds: int = ROUNDS) -> list[ChangeRow]:
    """A row a change, then mirrored scans of sentences with a side, then the sums; empty rows are left out."""
    rows = []
    for change in CHANGES:
        those = [move for move in moved if move.moved.change == change]
        patients = [move.patient for move in those]
        columns = {key: [float(getattr(move.moved, key)) for move in those] for key in MOVES}
        rows.append(_row(change, columns, patients, rounds))
    by_sentence: dict[tuple[str, int], dict[Change, Move]] = {}
    for move in moved:
        by_sentence.setdefault((move.scan, move.moved.sentence), {})[move.moved.change] = move
    sided = [made["mirrored scan"] for made in by_sentence.values() if made.keys() >= _SIDED]
    columns = {key: [float(getattr(move.moved, key)) for move in sided] for key in MOVES}
    rows.append(_row(SIDED, columns, [move.patient for move in sided], rounds))
    for name, parts in _SUMS.items():
        whole = [made for made in by_sentence.values() if parts.keys() <= made.keys()]
        patients = [next(iter(made.values())).patient for made in whole]
        columns = {
            key: [sum(sign * float(getattr(made[part].moved, key)) for part, sign in parts.items()) for made in whole]
            for key in _SUMMED
        }
        rows.append(_row(name, columns, patients, rounds))
    return [row for row in rows if row.sentences]


def _row(name: str, columns: Mapping[str, Sequence[float]], patients: Sequence[str], rounds: int) -> ChangeRow:
    means = {key: bootstrap_mean(np.array(values), patients, rounds=rounds) for key, values in columns.items()}
    return ChangeRow(name, len(patients), means)


def reading_of(name: str) -> str:
    """What a model that looks must do."""
    return SUM_READINGS[name] if name in SUM_READINGS else _OF_CHANGES[name]


def as_json(rows: Sequence[ChangeRow]) -> list[dict[str, object]]:
    """Plain types, each with its reading."""
    return [{**asdict(row), "reading": reading_of(row.change)} for row in rows]


def markdown(rows: Sequence[ChangeRow]) -> str:
    """The table, and how to read each row."""
    lines = [line(["change", "sentences", *_HEADS.values()]), "|" + "---|" * (len(_HEADS) + 2)]
    lines += [
        line([row.change, str(row.sentences), *(_cell(row.moves.get(key, _NOTHING), key) for key in _HEADS)])
        for row in rows
    ]
    lines += ["", *(f"- **{row.change}**: {reading_of(row.change)}" for row in rows)]
    return "\n".join(lines) + "\n"


def _cell(value: Interval, key: str) -> str:
    if math.isnan(value.mean):
        return "–"
    sign = "" if key in ("peak_mm", "side_flipped") else "+"
    form = f"{sign}.3f" if key in ("score", "excess", "evidence", "side_flipped", "pointing") else f"{sign}.1f"
    return f"{value.mean:{form}} [{value.lo:{form}}, {value.hi:{form}}]"
