"""What papers report of the same tasks, to stand beside what was measured here (`published.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

Benchmark = Literal["linear_probe", "segmentation", "ablation", "zero_shot"]


@dataclass(frozen=True, slots=True)
class Published:
    """One table.

    Attributes:
        source: who printed it.
        columns: tasks.
        metrics: of each column.
        rows: figures by method, as printed.
        remarks: what a reader has to know of them.
    """

    source: str
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    remarks: tuple[str, ...]

    def figure(self, method: str, column: str) -> float | None:
        """A method's figure in a column; None where the table has none."""
        if method not in self.rows or column not in self.columns:
            return None
        return self.rows[method][self.columns.index(column)]


@cache
def published(benchmark: Benchmark) -> Published:
    """One of the tables."""
    text = files("simcrop_training.evaluate").joinpath("published.yaml").read_text(encoding="utf-8")
    table = yaml.safe_load(text)[benchmark]
    return Published(
        table["source"],
        tuple(table["columns"]),
        tuple(table["metrics"]),
        {method: tuple(figures) for method, figures in table["rows"].items()},
        tuple(table["remarks"]),
    )
