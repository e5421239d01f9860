"""A probe of CT-RATE's 18 labels asked about RAD-ChestCT's 16 (paper Fig. 2; docs/benchmarks/probe.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simcrop_core.errors import SimCroPError
from simcrop_training.datasets.labelled import LabelledSet
from simcrop_training.evaluate.probing.presets import CalcificationRule
from simcrop_training.evaluate.probing.running import Target
from simcrop_training.evaluate.probing.scored import Floats, Ints, Predictions, score
from simcrop_training.evaluate.probing.tasks import TaskData

# One label of RAD-ChestCT for two of CT-RATE; mosaic attenuation has no counterpart and is dropped.
_SOURCES = {"calcification": ("arterial wall calcification", "coronary artery wall calcification")}


class NoSuchLabel(SimCroPError):
    """A label of the set that is asked about has no counterpart among those that were learned."""

    code = "no-such-label"


def transferred(
    probabilities_BL: Floats,
    learned: Sequence[str],
    asked: Sequence[str],
    truth_BL: Ints,
    rule: CalcificationRule = "max_prob",
) -> tuple[Floats, str]:
    """The learned labels' probabilities in the columns of the labels asked about.

    Args:
        probabilities_BL: of the learned labels.
        learned: their names.
        asked: names of the labels of the other set.
        truth_BL: of these; only "best_auc" looks at it.
        rule: for calcification: "max_prob", the higher of the two probabilities, scan by scan; "best_auc", that one of
            the two that ranks the test scans better, as the released code has it, which flatters.

    Returns:
        (B, 16) probabilities, and what calcification was taken from, in words.

    Raises:
        NoSuchLabel: a label has no counterpart.
    """
    places = {label.casefold(): place for place, label in enumerate(learned)}
    columns, words = [], "no calcification"
    for place, label in enumerate(asked):
        sources = _SOURCES.get(label.casefold(), (label.casefold(),))
        missing = [source for source in sources if source not in places]
        if missing:
            raise NoSuchLabel(
                f"{label} has no counterpart: the probe has not learned {' nor '.join(missing)}.",
                hint="Transfer goes from CT-RATE's labels to those of RAD-ChestCT.",
            )
        found_BS = probabilities_BL[:, [places[source] for source in sources]]
        if len(sources) == 1:
            columns.append(found_BS[:, 0])
        elif rule == "max_prob":
            columns.append(np.where(np.isnan(found_BS).all(axis=1), np.nan, np.fmax.reduce(found_BS, axis=1)))
            words = f"the higher probability of {' and '.join(sources)}"
        else:
            areas = [score(found_BS[:, [s]], truth_BL[:, [place]], classes=False) for s in range(len(sources))]
            best = int(np.argmax(np.nan_to_num(areas, nan=-1.0)))
            columns.append(found_BS[:, best])
            words = f"{sources[best]}, chosen by the area under its curve on the test scans"
    return np.stack(columns, axis=1), words


def carried(thresholds: Sequence[float], learned: Sequence[str], asked: Sequence[str]) -> tuple[float, ...]:
    """The learned labels' thresholds for the labels asked about; NaN where two differ that become one."""
    places = {label.casefold(): place for place, label in enumerate(learned)}
    found = []
    for label in asked:
        own = {thresholds[places[source]] for source in _SOURCES.get(label.casefold(), (label.casefold(),))}
        found.append(own.pop() if len(own) == 1 else math.nan)
    return tuple(found)


def transfer_target(
    learned: TaskData,
    data: LabelledSet,
    asked: TaskData,
    other: LabelledSet,
    rule: CalcificationRule,
    *,
    whole: bool,
) -> Target:
    """What probes of CT-RATE are asked about RAD-ChestCT.

    Args:
        learned: where CT-RATE is.
        data: CT-RATE.
        asked: where RAD-ChestCT is.
        other: RAD-ChestCT.
        rule: for calcification.
        whole: whether all of its scans are tested on, or its test scans.

    Raises:
        NoSuchLabel: a label has no counterpart.
    """
    tested = other.scans if whole else other.of("test")

    def translated(answers: Predictions) -> tuple[Predictions, str]:
        found_BL, words = transferred(answers.probabilities_BL, data.labels, other.labels, answers.truth_BL, rule)
        return replace(answers, probabilities_BL=found_BL), words

    # A label without counterpart is said before anything is computed.
    nothing = np.zeros((0, len(data.labels)))
    transferred(nothing, data.labels, other.labels, np.zeros((0, len(other.labels)), np.int64), rule)
    dropped = [label for label in data.labels if label.casefold() not in _used(other.labels)]
    part = "all scans" if whole else "test scans"
    return Target(
        title=f"Transfer, {learned.column} to {part} of rad-chestct, labels {asked.label_map}, calcification {rule}",
        column=f"{learned.column} → rad-chestct",
        data=data,
        tested=tested,
        labels=other.labels,
        synthetic=learned.synthetic or asked.synthetic,
        more={"task": learned.column, "onto": part, "labels_by": asked.label_map, "calcification": rule},
        translated=translated,
        carried=lambda thresholds: carried(thresholds, data.labels, other.labels),
        remarks=(*other.remarks, f"Learned, and not asked about: {', '.join(dropped) or 'nothing'}."),
    )


def _used(labels: Sequence[str]) -> set[str]:
    return {source for label in labels for source in _SOURCES.get(label.casefold(), (label.casefold(),))}
