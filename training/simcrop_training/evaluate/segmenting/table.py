"""What scoring found, as figures with intervals, entries for the common table, and a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simcrop_training.evaluate.origin import Origin
from simcrop_training.evaluate.paired import Pair, pairs_table
from simcrop_training.evaluate.segmenting.datalist import Splits
from simcrop_training.evaluate.segmenting.metrics import TOLERANCE_MM, ClassScore, mean_dice
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.evaluate.segmenting.score import UNKNOWN_LABEL, ScanScores, Scored
from simcrop_training.evaluate.statistics import Interval, bootstrap_mean
from simcrop_training.evaluate.summary import Entry
from simcrop_training.evaluate.written import line


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label over all scans; means are over the scans that have it.

    Attributes:
        label: its name.
        scans: that have it.
        dice: mean.
        surface_dice: mean.
        hd95_mm: mean over the scans in which it was found.
        missed: scans that have it and in which nothing of it was found.
        invented: scans without it in which some was found.
        invented_ml: the mean amount in these; NaN where there are none.
    """

    label: str
    scans: int
    dice: Interval
    surface_dice: Interval
    hd95_mm: Interval
    missed: int
    invented: int
    invented_ml: float


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A line of labels.csv: `LabelFigures` with the ends of its 95 % intervals, which are NaN for one patient."""

    label: str
    scans: int
    dice: float
    dice_lo95: float
    dice_hi95: float
    surface_dice: float
    hd95_mm: float
    missed: int
    invented: int
    invented_ml: float

    @classmethod
    def of(cls, figures: LabelFigures) -> LabelRow:
        """From the figures of a label."""
        return cls(
            figures.label, figures.scans, figures.dice.mean, figures.dice.lo, figures.dice.hi,
            figures.surface_dice.mean, figures.hd95_mm.mean, figures.missed, figures.invented, figures.invented_ml,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """A model by one protocol.

    Attributes:
        scans: how many were scored.
        dice: mean over scans of the mean over their labels.
        dice_with_background: the same with the background as a label.
        surface_dice: as `dice`.
        hd95_mm: as `dice`.
        labels: one by one, the background first.
    """

    scans: int
    dice: Interval
    dice_with_background: Interval
    surface_dice: Interval
    hd95_mm: Interval
    labels: tuple[LabelFigures, ...]


def figures_of(scored: Scored, *, rounds: int = 1000, seed: int = 0) -> Figures:
    """Means and 95 % intervals by patients.

    Args:
        scored: scan by scan.
        rounds: of the bootstrap.
        seed: of its draws.
    """
    patients = [scan.patient for scan in scored.scans]

    def mean(of: Callable[[ScanScores], float]) -> Interval:
        values = np.array([of(scan) for scan in scored.scans], dtype=np.float64)
        found = bootstrap_mean(values, patients, rounds=rounds, seed=seed)
        known = {patient for patient, value in zip(patients, values, strict=True) if not math.isnan(value)}
        return found if len(known) > 1 else Interval(found.mean, math.nan, math.nan)  # one patient tells no spread

    def label(index: int) -> LabelFigures:
        own = [scan.classes[index] for scan in scored.scans]
        invented = [score.found_ml for score in own if score.invented]
        return LabelFigures(
            scored.labels[index],
            sum(score.true_ml > 0 for score in own),
            mean(lambda scan: scan.classes[index].dice),
            mean(lambda scan: scan.classes[index].surface_dice),
            mean(lambda scan: scan.classes[index].hd95_mm),
            sum(score.missed for score in own),
            len(invented),
            float(np.mean(invented)) if invented else math.nan,
        )

    return Figures(
        len(scored.scans),
        mean(lambda scan: mean_dice(scan.classes, background=False)),
        mean(lambda scan: mean_dice(scan.classes, background=True)),
        mean(lambda scan: _mean_over(scan.classes, "surface_dice")),
        mean(lambda scan: _mean_over(scan.classes, "hd95_mm")),
        tuple(label(index) for index in range(len(scored.labels))),
    )


def entry_of(figures: Figures, splits: Splits, protocol: Protocol, *, origin: Origin, column: str) -> Entry:
    """The figure that papers print: Dice without the background."""
    kind = "synthetic scans" if splits.synthetic else "scans"
    return Entry(
        benchmark="segmentation", column=column, model=origin.model, protocol=protocol.name, metric="Dice",
        value=figures.dice.mean, lo95=figures.dice.lo, hi95=figures.dice.hi,
        data=f"{figures.scans} {kind} of {splits.name}", recipe=origin.recipe, training=origin.training,
        seeds=f"weights {origin.seed}",
    )  # fmt: skip


def page(
    name: str, parts: Sequence[tuple[Protocol, Splits, Scored, Figures]], pairs: Mapping[str, Sequence[Pair]]
) -> str:
    """Both protocols, each with what was done, its table and its remarks.

    Args:
        name: of the weights.
        parts: one a protocol.
        pairs: the weights against others, by protocol.
    """
    lines = [f"# Segmentation: {name}", ""]
    for protocol, splits, scored, figures in parts:
        lines += [f"## {protocol.name}: {splits.name}, {_counted(figures.scans)}", "", _protocol(protocol, splits), ""]
        lines += [*_overall(figures), "", *_by_label(figures), "", *pairs_table(pairs[protocol.name], "Dice")]
        lines += [f"- {remark}" for remark in (*splits.remarks, *_left_out(scored))] + [""]
    return "\n".join(lines)


def _protocol(protocol: Protocol, splits: Splits) -> str:
    whose = "SYNTHETIC scans: no patient was scanned. " if splits.synthetic else ""
    if protocol.name == "official":
        where = "on the model's grid, cropped to voxels above 0 HU, as the released code does"
    else:
        where = "on each scan's own voxels, by the engine of `simcrop segment`"
    return (
        f"{whose}Measured {where}. Windows overlap by {protocol.overlap:g}, weighted {protocol.blend}. Classes that a "
        f"scan does not have count in no mean; a class that was missed has Dice 0 and no distance. Surface Dice at "
        f"{TOLERANCE_MM:g} mm; distance: 95th percentile. In brackets 95 % intervals by patients."
    )


def _overall(figures: Figures) -> list[str]:
    head = ["Dice", "Dice with background", "surface Dice", "distance, mm"]
    cells = [
        _cell(figures.dice),
        _cell(figures.dice_with_background),
        _cell(figures.surface_dice),
        _cell(figures.hd95_mm),
    ]
    return [line(head), line(["---"] * len(head)), line(cells)]


def _by_label(figures: Figures) -> list[str]:
    head = ["label", "scans", "Dice", "surface Dice", "distance, mm", "missed", "found where it is not"]
    rows = [line(head), line(["---"] * len(head))]
    for row in figures.labels:
        invented = f"{row.invented} ({row.invented_ml:.1f} ml)" if row.invented else "0"
        cells = [_cell(row.dice), _cell(row.surface_dice), _cell(row.hd95_mm)]
        rows.append(line([row.label, str(row.scans), *cells, str(row.missed), invented]))
    return rows


def _left_out(scored: Scored) -> list[str]:
    unknown = [note.name for note in scored.left_out if note.code == UNKNOWN_LABEL]
    scans = [f"{n.name} ({n.reason.rstrip('.')})" for n in scored.left_out if n.code != UNKNOWN_LABEL]
    lines = [f"Labels that the weights do not give, {len(unknown)}: {', '.join(unknown)}."] if unknown else []
    return [*lines, f"Left out, {_counted(len(scans))}: {'; '.join(scans)}."] if scans else lines


def _counted(scans: int) -> str:
    return "1 scan" if scans == 1 else f"{scans} scans"


def _mean_over(scores: Sequence[ClassScore], figure: str) -> float:
    values = [getattr(score, figure) for score in scores[1:]]
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _cell(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "–"
    around = "" if math.isnan(interval.lo) else f" ({interval.lo:.3f}–{interval.hi:.3f})"
    return f"{interval.mean:.3f}{around}"
