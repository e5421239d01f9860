"""What the commands left behind, as the rows of one table: a row a benchmark, a column a model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcrop_training.evaluate.suite.kept import Done
from simcrop_training.evaluate.suite.parts import ASKED, PROBED, SEGMENTED
from simcrop_training.evaluate.suite.settings import Model
from simcrop_training.evaluate.written import PAGE, RESULTS

GROUPS = ("Linear probe", "Transfer", "Zero-shot", "Segmentation", "Grounding", "Does it look?")
_NOT_DONE = "This part has not been done."
_NOTHING = "With so few scans it is not defined; its page says more."


@dataclass(frozen=True, slots=True)
class Cell:
    """A model's figure, or the reason why it has none."""

    words: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One benchmark.

    Attributes:
        group: what kind it is.
        what: which.
        metric: of its figures.
        guess: what is reached without looking, or what a model that looks must show.
        page: the command's own, in the folder of the suite; "" where there is none yet.
        cells: by model, every one of them.
    """

    group: str
    what: str
    metric: str
    guess: str
    page: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class _Reader:
    """What all rows are read from."""

    folder: Path
    models: Sequence[Model]
    parts: Mapping[str, Done] = field(default_factory=dict)

    def document(self, key: str) -> dict[str, Any]:
        """The results of a part; empty where there are none."""
        path = self.folder / key / RESULTS
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found

    def row(
        self,
        key: str,
        row: tuple[str, str, str, str],
        found: Mapping[str, str],
        *,
        own: Callable[[Model], str] | None = None,
    ) -> Row:
        """A row from what was found by weights; of the others the reason.

        Args:
            key: of the part.
            row: group, what, metric and guess.
            found: the words of a figure, by weights.
            own: the part's key for one model, where each has a part of its own.
        """
        cells = {}
        for model in self.models:
            words = found.get(model.weights, "")
            cells[model.name] = Cell(words) if words else Cell(reason=self._reason(own(model) if own else key, model))
        page = f"{key}/{PAGE}" if (self.folder / key / PAGE).is_file() else ""
        return Row(*row, page, cells)

    def _reason(self, key: str, model: Model) -> str:
        part = self.parts.get(key)
        if part is None:
            return _NOT_DONE
        return part.reasons.get(model.name) or part.fault or (_NOTHING if part.finished else _NOT_DONE)


def rows_of(folder: Path, models: Sequence[Model], parts: Mapping[str, Done]) -> list[Row]:
    """Every row; a model without a figure has the reason.

    Args:
        folder: of the suite.
        models: the columns.
        parts: what was done.
    """
    reader = _Reader(folder, models, parts)
    rows = [row for task in PROBED for row in _probe(reader, f"probe/{task}", GROUPS[0], task)]
    rows += _probe(reader, "transfer", GROUPS[1], "ct-rate → rad-chestct")
    rows += [_zero_shot(reader, task) for task in ASKED]
    rows += [_segmented(reader, task) for task in SEGMENTED]
    return [*rows, *_grounding(reader), *_audit(reader)]


def _probe(reader: _Reader, key: str, group: str, what: str) -> list[Row]:
    outcomes = reader.document(key).get("outcomes", [])
    presets = ("official", "clean") if group == GROUPS[0] else ("clean",)
    rows = []
    for preset in presets:
        own = [outcome for outcome in outcomes if outcome["preset"] == preset]
        metric = own[0]["metric"] if own else "AUROC"
        guess = "0.50"
        if metric == "accuracy":
            guess = f"{max(row['n_pos'] for row in own[0]['rows']) / max(own[0]['tested'], 1):.2f}"
        found = {outcome["manifest"]["weights"]["name"]: _words(outcome["value"]) for outcome in own}
        rows.append(reader.row(key, (group, f"{what}, {preset}", metric, guess), found))
    return rows


def _zero_shot(reader: _Reader, task: str) -> Row:
    key = f"zero-shot/{task}"
    outcomes = reader.document(key).get("outcomes", [])
    found = {outcome["manifest"]["weights"]["name"]: _words(outcome["published_way"]["macro"]) for outcome in outcomes}
    return reader.row(key, (GROUPS[2], task, "AUROC", "0.50"), found)


def _segmented(reader: _Reader, task: str) -> Row:
    found = {}
    for model in reader.models:
        figures = reader.document(f"segment/{task}/{model.name}").get("figures", {})
        if "clean" in figures:
            found[model.weights] = _words(figures["clean"]["dice"])

    def own(model: Model) -> str:
        key = f"segment/{task}/{model.name}"
        tuned = f"finetune/{task}/{model.name}"
        return tuned if reader.parts.get(tuned, Done("")).fault else key

    return reader.row(f"segment/{task}", (GROUPS[3], f"{task}, fine-tuned", "Dice", "–"), found, own=own)


# What is shown of the grounding table: its metric, what it is called, and digits.
_SHOWN = (
    ("pointing", "peak in the mask", 2),
    ("dice_at_size", "Dice at true size", 2),
    ("distance_mm", "peak to mask, mm", 0),
)
_UNSEEING = ("chance", "centre", "lungs")


def _grounding(reader: _Reader) -> list[Row]:
    models = {model["weights"]: model["groups"][0] for model in reader.document("ground").get("models", [])}
    rows = []
    for key, words, digits in _SHOWN:
        found = {where: _words(group["rows"]["model"][key], digits) for where, group in models.items()}
        known = [
            group["rows"][row][key]["mean"] for group in models.values() for row in _UNSEEING if row in group["rows"]
        ]
        known = [value for value in known if value is not None]
        best = (min if key == "distance_mm" else max)(known, default=None)
        guess = "–" if best is None else f"{best:.{digits}f}"
        rows.append(reader.row("ground", (GROUPS[4], "all sentences", words, guess), found))
    for control in ("text only", "swapped scan"):
        found = {where: _words(group["less"][control]["pointing"]["by"], sign="+") for where, group in models.items()}
        rows.append(reader.row("ground", (GROUPS[4], f"model less {control}", "peak in the mask", "above 0"), found))
    return rows


# What is shown of the audit: the change, the figure that moves, and where a model that looks must be.
_MOVES = (
    ("swapped scan", "score", "below 0"),
    ("occlusion beyond others", "score", "below 0"),
    ("side agreement", "score", "above 0"),
    ("mirrored scan, side named", "side_flipped", "1"),
    ("negated", "score", "below 0"),
)
_MOVED = {"score": "score moves by", "side_flipped": "peak follows the anatomy"}


def _audit(reader: _Reader) -> list[Row]:
    models = {
        model["weights"]: {row["change"]: row["moves"] for row in model["changes"]}
        for model in reader.document("audit").get("models", [])
    }
    rows = []
    for change, key, wanted in _MOVES:
        sign = "" if key == "side_flipped" else "+"
        found = {where: _words(moves[change][key], sign=sign) for where, moves in models.items() if change in moves}
        rows.append(reader.row("audit", (GROUPS[5], change, _MOVED[key], wanted), found))
    return rows


def _words(interval: Mapping[str, float | None], digits: int = 2, *, sign: str = "") -> str:
    """Such as "0.63 (0.51–0.75)"; "" where there is no figure."""
    mean, lo, hi = (interval[key] for key in ("mean", "lo", "hi"))
    if mean is None or math.isnan(mean):
        return ""
    form, between = f"{sign}.{digits}f", " to " if sign else "–"
    return f"{mean:{form}}" + ("" if lo is None or hi is None else f" ({lo:{form}}{between}{hi:{form}})")
