"""Pictures of results: figures a label as bars, ROC curves, and sweeps, as the paper's Figures 2 and 3 have them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from simcrop_core.export.atomic import replacing
from simcrop_training.datasets.labelled import UNKNOWN
from simcrop_training.evaluate.statistics import Floats, Ints, LabelRow

# Okabe and Ito's colours, told apart without red and green; then hatching.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_HATCHES = ("", "//", "..", "xx")


def label_bars(rows: Mapping[str, Sequence[LabelRow]], *, title: str) -> Figure:
    """Area under the curve a label, one bar a model, with its interval; the dotted line is a guess.

    Args:
        rows: by model; all of the same labels in the same order.
        title: what was measured on what.
    """
    labels = [row.label for row in next(iter(rows.values()))]
    page = Figure(figsize=(max(6.0, 0.42 * len(labels) * (1 + 0.35 * len(rows))), 4.8), layout="constrained")
    axes = page.subplots()
    width = 0.8 / len(rows)
    for place, (model, its) in enumerate(rows.items()):
        values = np.array([row.auroc for row in its])
        spread = np.array([[row.auroc - row.lo95, row.hi95 - row.auroc] for row in its]).T
        axes.bar(
            np.arange(len(labels)) + (place - (len(rows) - 1) / 2) * width, np.nan_to_num(values), width,
            yerr=np.clip(np.nan_to_num(spread), 0, None), label=model, capsize=2,
            color=_COLOURS[place % len(_COLOURS)], hatch=_HATCHES[place // len(_COLOURS) % len(_HATCHES)],
            error_kw={"linewidth": 0.8},
        )  # fmt: skip
    for place in range(len(labels)):
        if all(math.isnan(its[place].auroc) for its in rows.values()):
            axes.annotate("no area", (place, 0.02), rotation=90, ha="center", va="bottom", fontsize=7, color="0.4")
    axes.set_xticks(np.arange(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.axhline(0.5, color="0.3", linestyle=":", linewidth=1)
    axes.set(ylim=(0, 1), ylabel="area under the ROC curve", title=title)
    axes.legend(ncols=3, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.1), frameon=False)
    return page


def roc_curves(scores_BL: Mapping[str, Floats], truth_BL: Ints, labels: Sequence[str], *, title: str) -> Figure:
    """A small ROC plot a label, one line a model; labels that all scans or none have say so."""
    across = min(6, len(labels))
    down = -(-len(labels) // across)
    page = Figure(figsize=(max(6.0, 2.3 * across), 2.5 * down + 0.9), layout="constrained")
    grid = page.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(labels):
            axes.set_axis_off()
            continue
        _roc(axes, {model: scores[:, place] for model, scores in scores_BL.items()}, truth_BL[:, place], labels[place])
    page.suptitle(title, fontsize=11)
    for axes in grid[-1]:
        axes.set_xlabel("false alarms", fontsize=8)
    page.supylabel("found", fontsize=9)
    drawn = {name: line for axes in grid.flat for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if drawn:
        page.legend(list(drawn.values()), list(drawn), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return page


def sweep(values: Sequence[float], figures: Mapping[str, Sequence[float]], *, axis: str, title: str) -> Figure:
    """How figures move with one setting (the paper's Figure 3).

    Args:
        values: of the setting.
        figures: by metric, one a value.
        axis: what the setting is.
        title: of what.
    """
    page = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = page.subplots()
    for place, (metric, points) in enumerate(figures.items()):
        axes.plot(values, points, marker="o", label=metric, color=_COLOURS[place % len(_COLOURS)])
    axes.set(xlabel=axis, title=title, xticks=list(values))
    axes.grid(axis="y", color="0.9")
    axes.legend(frameon=False)
    return page


def save(page: Figure, path: Path) -> None:
    """Write a picture whole or not at all, in the format of the name's ending.

    Raises:
        CannotWrite: the folder is not writable or the disk is full.
    """
    drawn = io.BytesIO()
    page.savefig(drawn, format=path.suffix.removeprefix("."), dpi=150)
    with replacing(path) as temporary:
        temporary.write_bytes(drawn.getvalue())


def _roc(axes: Axes, scores: Mapping[str, Floats], truth_B: Ints, label: str) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1)
    drawn = False
    for place, (model, scores_B) in enumerate(scores.items()):
        known_B = (truth_B != UNKNOWN) & np.isfinite(scores_B)
        if len(set(truth_B[known_B].tolist())) == 2:
            alarms, found, _ = roc_curve(truth_B[known_B], scores_B[known_B])
            axes.plot(alarms, found, label=model, color=_COLOURS[place % len(_COLOURS)], linewidth=1.3)
            drawn = True
    if not drawn:
        axes.annotate("one class only", (0.5, 0.5), ha="center", fontsize=8, color="0.4")
    axes.set_title(label, fontsize=8)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)
