"""Figures of all sentences together, by kind of finding and by size, with intervals over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_training.evaluate.grounding_benchmark.controls import CONTROLS, MODEL
from simcrop_training.evaluate.grounding_benchmark.measure import MEANS, SIZES, Figures, Measured
from simcrop_training.evaluate.statistics import ROUNDS, Difference, Interval, bootstrap_mean, compare_means, drawn
from simcrop_training.evaluate.written import line

ALL = "all"
POOLED = ("precision", "recall", "f1")
ROWS = (MODEL, *CONTROLS)
# In which the model is set against each control, sentence by sentence.
COMPARED = ("dice_at_size", "pointing", "auroc", "distance_mm", "slice_mm")
_NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Group:
    """Some sentences.

    Attributes:
        name: "all", a kind of finding, or a size.
        sentences: with a mask that is not empty.
        scans: that they are about.
        patients: whose these are: of few, an interval says little.
        unanswered: for which the engine gives no map.
        unseen: whose mask lies outside all patches.
        silent: for which nothing is drawn.
        rows: by model and control, then by metric.
        less: model less control, by control, then by metric.
    """

    name: str
    sentences: int
    scans: int
    patients: int
    unanswered: int
    unseen: int
    silent: int
    rows: dict[str, dict[str, Interval]]
    less: dict[str, dict[str, Difference]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A sentence's figures and whose they are."""

    scan: str
    patient: str
    measured: Measured


def groups(asked: Sequence[Asked], *, rounds: int = ROUNDS) -> list[Group]:
    """All sentences with masks, then by size, then by kind; groups without a sentence are left out."""
    kept = [one for one in asked if one.measured.rows]
    found = [_group(ALL, kept, rounds)]
    found += [_group(size, [one for one in kept if one.measured.size == size], rounds) for size in SIZES]
    kinds = sorted({one.measured.kind for one in kept} - {""})
    found += [_group(kind, [one for one in kept if one.measured.kind == kind], rounds) for kind in kinds]
    return [group for group in found if group.sentences]


def silence(asked: Sequence[Asked]) -> dict[str, float]:
    """Of sentences with an empty mask: how many there are, and the share for which nothing is drawn."""
    empty = [one.measured.silent for one in asked if not one.measured.rows]
    return {"sentences": len(empty), "silent": float(np.mean(empty)) if empty else math.nan}


def _group(name: str, asked: Sequence[Asked], rounds: int) -> Group:
    patients = [one.patient for one in asked]
    columns = {row: [one.measured.rows.get(row, {}) for one in asked] for row in ROWS}
    rows = {row: _row(figures, patients, rounds) for row, figures in columns.items()} if asked else {}
    less = {
        row: {
            metric: compare_means(
                _values(columns[MODEL], metric), _values(columns[row], metric), patients, rounds=rounds
            )
            for metric in COMPARED
        }
        for row in CONTROLS
        if asked
    }
    return Group(
        name=name,
        sentences=len(asked),
        scans=len({one.scan for one in asked}),
        patients=len(set(patients)),
        unanswered=sum(not one.measured.answered for one in asked),
        unseen=sum(one.measured.outside for one in asked),
        silent=sum(one.measured.silent for one in asked),
        rows=rows,
        less=less,
    )


def _row(figures: Sequence[Figures], patients: Sequence[str], rounds: int) -> dict[str, Interval]:
    means = {metric: bootstrap_mean(_values(figures, metric), patients, rounds=rounds) for metric in MEANS}
    return means | _pooled(figures, patients, rounds)


def _values(figures: Sequence[Figures], metric: str) -> NDArray[np.float64]:
    return np.array([row.get(metric, math.nan) for row in figures], dtype=np.float64)


def _pooled(figures: Sequence[Figures], patients: Sequence[str], rounds: int) -> dict[str, Interval]:
    """Over the instances of all sentences; NaN where nothing was counted, such as in random draws of voxels."""
    counts_3B = np.stack([_values(figures, name) for name in ("found", "invented", "missed")])
    known_B = np.isfinite(counts_3B).all(axis=0)
    if not known_B.any():
        return dict.fromkeys(POOLED, _NOTHING)
    drawn_3R = counts_3B[:, known_B] @ drawn(patients, rounds, 0)[:, known_B].T
    found, invented, missed = np.column_stack([counts_3B[:, known_B].sum(axis=1), drawn_3R])
    rates = {
        "precision": _share(found, found + invented),
        "recall": _share(found, found + missed),
        "f1": _share(2 * found, 2 * found + invented + missed),
    }
    return {name: _interval(values) for name, values in rates.items()}


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return shares


def _interval(values: NDArray[np.float64]) -> Interval:
    """The first value is of all patients, the others of draws."""
    known = values[1:][np.isfinite(values[1:])]
    if not known.size or math.isnan(values[0]):
        return Interval(float(values[0]), math.nan, math.nan)
    lo, hi = np.percentile(known, (2.5, 97.5))
    return Interval(float(values[0]), float(lo), float(hi))


def as_json(found: Sequence[Group]) -> list[dict[str, object]]:
    """Plain types."""
    return [asdict(group) for group in found]


# What a metric is called at the head of a table.
HEADS: Mapping[str, str] = {
    "dice": "Global Dice",
    "hit": "HIT",
    "touch": "any overlap",
    "precision": "inst. P",
    "recall": "inst. R",
    "f1": "inst. F1",
    "dice_at_size": "Dice at true size",
    "pointing": "pointing",
    "side": "side",
    "auroc": "patch AUROC",
    "distance_mm": "peak to mask, mm",
    "slice_mm": "slice error, mm",
}


def markdown(found: Sequence[Group]) -> str:
    """A table a group; the interval beside the figures of all sentences, in the others the figures alone."""
    return "\n".join(_table(group, intervals=group.name == ALL) for group in found)


def _table(group: Group, *, intervals: bool) -> str:
    said = f"{group.sentences} sentences about {group.scans} scans of {group.patients} patients"
    notes = {
        "without an answer": group.unanswered,
        "with a mask outside all patches": group.unseen,
        "for which nothing is drawn": group.silent,
    }
    said += "".join(f"; {count} {note}" for note, count in notes.items() if count)
    lines = [f"### {group.name}", "", f"{said}.", "", line(["", *HEADS.values()]), "|" + "---|" * (len(HEADS) + 1)]
    lines += [line([row, *(_cell(group.rows[row][key], key, intervals=intervals) for key in HEADS)]) for row in ROWS]
    if intervals:
        lines += ["", "Model less control, with the interval of the difference and its p:", ""]
        lines += [line(["", *(HEADS[key] for key in COMPARED)]), "|" + "---|" * (len(COMPARED) + 1)]
        for row in CONTROLS:
            lines.append(line([row, *(difference_cell(group.less[row][key], key) for key in COMPARED)]))
    return "\n".join([*lines, ""])


def difference_cell(less: Difference, key: str) -> str:
    """A difference with its interval and p."""
    return "–" if math.isnan(less.by.mean) else f"{_cell(less.by, key, intervals=True, sign='+')}, p {less.p:.3f}"


def _cell(value: Interval, key: str, *, intervals: bool, sign: str = "") -> str:
    if math.isnan(value.mean):
        return "–"
    form = f"{sign}.1f" if key.endswith("_mm") else f"{sign}.3f"
    around = "" if not intervals or math.isnan(value.lo) else f" [{value.lo:{form}}, {value.hi:{form}}]"
    return f"{value.mean:{form}}{around}"
