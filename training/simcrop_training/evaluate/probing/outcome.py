"""What a probe reached on the test scans: figures, the JSON of them, and the page."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np

from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.origin import Origin, row_names
from simcrop_training.evaluate.probing.scored import Predictions, by_label
from simcrop_training.evaluate.statistics import ROUNDS, Interval, LabelRow, bootstrap_mean, label_rows
from simcrop_training.evaluate.summary import Entry
from simcrop_training.evaluate.written import plain, short

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """One probe's figures.

    Attributes:
        model: whose features.
        preset: "official" or "clean".
        seed: of the probe.
        metric: "AUROC", the mean over the labels that have one, or "accuracy".
        value: of it.
        counted: over how many labels; of accuracy, over how many scans.
        rows: by label, or by class against all others.
        tested: scans.
        notes: how the probe came about.
        skipped: scans that could not be read.
        origin: of the weights.
    """

    model: str
    preset: str
    seed: int
    metric: str
    value: Interval
    counted: int
    rows: tuple[LabelRow, ...]
    tested: int
    notes: dict[str, object]
    skipped: tuple[LeftOut, ...]
    origin: Origin

    @property
    def row(self) -> tuple[str, str]:
        """Model and training: what is one row of a table."""
        return self.origin.row

    def entry(self, column: str, data: str) -> Entry:
        """For tables over several tasks."""
        value, origin = self.value, self.origin
        return Entry(
            "linear_probe", column, self.model, self.preset, self.metric, value.mean, value.lo, value.hi, data,
            origin.recipe, origin.training, f"weights {origin.seed}, probe {self.seed}",
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes null."""
        found: dict[str, Any] = plain(self)
        return found


def measured(
    predictions: Predictions,
    labels: Sequence[str],
    *,
    classes: bool,
    thresholds: Sequence[float] | None = None,
    rounds: int = ROUNDS,
) -> tuple[str, Interval, int, tuple[LabelRow, ...]]:
    """Metric, its interval by patients, over how many labels or scans, and the rows by label.

    Args:
        predictions: about test scans.
        labels: names of the labels or classes.
        classes: whether scans have one class; its metric is accuracy then.
        thresholds: of the labels' probabilities, from other scans; without, they are chosen on these.
        rounds: of the bootstrap.
    """
    answers_BL, truth_BL = predictions.probabilities_BL, predictions.truth_BL
    if not classes:
        found = label_rows(labels, answers_BL, truth_BL, predictions.patients, thresholds=thresholds, rounds=rounds)
        # A label that was not learned has no probabilities, but its scans are there and are counted.
        rows = tuple(
            dataclasses.replace(row, n_pos=int((truth_B == 1).sum()), n_neg=int((truth_B == 0).sum()))
            for row, truth_B in zip(found.rows, truth_BL.T, strict=True)
        )
        return "AUROC", found.macro, found.counted, rows
    columns_BL = by_label(truth_BL, len(labels))
    found = label_rows(labels, answers_BL, columns_BL, predictions.patients, thresholds=thresholds, rounds=rounds)
    known_B = np.isfinite(answers_BL).all(axis=1)
    right_B = np.where(known_B, answers_BL.argmax(axis=1) == truth_BL[:, 0], np.nan)
    return "accuracy", bootstrap_mean(right_B, predictions.patients, rounds=rounds), int(known_B.sum()), found.rows


def side_by_side(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table: a row a model and training, a column a preset; a random encoder's two names share no row."""
    presets = list(dict.fromkeys(outcome.preset for outcome in outcomes))
    metric = outcomes[0].metric
    lines = [
        f"| model | {' | '.join(f'{preset}, {metric}' for preset in presets)} |",
        "|---" * (len(presets) + 1) + "|",
    ]
    for row, name in row_names(outcome.origin for outcome in outcomes).items():
        own = [outcome for outcome in outcomes if outcome.row == row]
        cells = [_cell([outcome for outcome in own if outcome.preset == preset]) for preset in presets]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def left_out(notes: Sequence[LeftOut]) -> str:
    """How many scans are not used, by reason, and the first of them by name."""
    if not notes:
        return "none"
    kinds = ", ".join(f"{count} {code}" for code, count in Counter(note.code for note in notes).items())
    more = f" and {len(notes) - _NAMED} more" if len(notes) > _NAMED else ""
    return f"{len(notes)} ({kinds}): {', '.join(note.name for note in notes[:_NAMED])}{more}"


def _cell(outcomes: Sequence[Outcome]) -> str:
    """Of one seed the interval by patients, of several the deviation over seeds."""
    values = [outcome.value.mean for outcome in outcomes if not math.isnan(outcome.value.mean)]
    if not values:
        return "–"
    of = "" if outcomes[0].metric == "accuracy" else f", {outcomes[0].counted} of {len(outcomes[0].rows)} labels"
    if len(values) > 1:
        return f"{mean(values):.3f} ± {stdev(values):.3f} ({len(values)} seeds{of})"
    value = outcomes[0].value
    return f"{value.mean:.3f} ({short(value.lo)}–{short(value.hi)}{of})"
