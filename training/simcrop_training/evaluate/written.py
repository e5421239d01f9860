"""How results are written: JSON without NaN, lines of Markdown tables, and both files whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simcrop_core.export.atomic import replacing
from simcrop_core.phantom.layouts.tables import write_csv

RESULTS, PAGE, LABELS = "results.json", "results.md", "labels.csv"


def plain(value: Any) -> Any:
    """Plain JSON types: dataclasses as objects, NaN, which JSON has not, as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def head(names: Sequence[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [line(names), line(["---"] * len(names))]


def short(value: object) -> str:
    """A number to three places, a dash where there is none; anything else in its own words."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def fields_table(rows: Sequence[Any]) -> str:
    """A Markdown table of dataclasses of one kind: a column a field."""
    names = [field.name for field in dataclasses.fields(rows[0])]
    return "\n".join([*head(names), *(line([short(getattr(row, name)) for name in names]) for row in rows)]) + "\n"


def write_labels(path: Path, tables: Sequence[tuple[Mapping[str, object], Sequence[Any]]]) -> None:
    """A CSV of dataclasses of one kind, a line each, behind columns that say whose they are; what is NaN is left empty.

    Raises:
        CannotWrite: the folder is not writable or the disk is full; then nothing is half-written.
    """
    rows = [{**whose, **dataclasses.asdict(row)} for whose, its in tables for row in its]
    known = [{key: value for key, value in row.items() if plain(value) is not None} for row in rows]
    write_csv(path, list(dict.fromkeys(key for row in rows for key in row)), known)


def write_json(path: Path, document: Any) -> None:
    """Raises CannotWrite if the folder is not writable or the disk is full; then nothing is half-written."""
    write_text(path, json.dumps(plain(document), indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Raises CannotWrite if the folder is not writable or the disk is full; then nothing is half-written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
