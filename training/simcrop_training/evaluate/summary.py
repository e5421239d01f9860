"""Figures of any benchmark in one form, and the table that sets them beside what papers report."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from simcrop_core.errors import SimCroPError
from simcrop_training.evaluate.origin import Origin, row_names
from simcrop_training.evaluate.published import Benchmark, published
from simcrop_training.evaluate.written import RESULTS, head, line, plain, write_text

ENTRIES, TABLE = "entries", "table.md"


class NoResults(SimCroPError):
    """A file holds no results of `simcrop-eval`."""

    code = "no-results"


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure.

    Attributes:
        benchmark: which of the published tables it belongs to.
        column: the task, "ct-rate 10 %".
        model: its name, "simcrop"; runs of several recipes and seeds share it.
        protocol: "official" or "clean".
        metric: AUROC, accuracy, Dice.
        value: 0 to 1.
        lo95: of its interval; NaN where there is none. `hi95` likewise.
        data: what was measured on, "200 synthetic scans".
        recipe: that the model was trained by, in words.
        training: what runs share that differ in their seeds alone.
        seeds: of training and measurement, in words.
    """

    benchmark: Benchmark
    column: str
    model: str
    protocol: str
    metric: str
    value: float
    lo95: float
    hi95: float
    data: str
    recipe: str = ""
    training: str = ""
    seeds: str = ""


def as_json(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """For `results.json`; NaN, which JSON has not, becomes null."""
    rows: list[dict[str, object]] = plain(list(entries))
    return rows


def read_entries(path: Path) -> list[Entry]:
    """The figures of a results folder or file.

    Raises:
        NoResults: there are none.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))[ENTRIES]
        numbers = ("value", "lo95", "hi95")
        return [Entry(**row | {key: math.nan if row[key] is None else row[key] for key in numbers}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise NoResults(
            f"{file} holds no results: {fault!r}.", hint="Give the --output folder of another simcrop-eval command."
        ) from fault


@dataclass(frozen=True, slots=True)
class Summary:
    """A table as text, cell by cell.

    Attributes:
        benchmark: whose it is.
        head: first "model", then the columns.
        rows: of as many cells.
        remarks: below it.
    """

    benchmark: Benchmark
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]

    def markdown(self) -> str:
        """The table with its remarks."""
        lines = [f"## {self.benchmark}", "", *head(self.head)]
        lines += [line(row) for row in self.rows]
        return "\n".join([*lines, "", *(f"- {remark}" for remark in self.remarks)]) + "\n"

    def latex(self) -> str:
        """A `tabular` with booktabs' rules; remarks as comments."""
        body = [f"{' & '.join(map(_escaped, row))} \\\\" for row in self.rows]
        return "\n".join(
            [
                *(f"% {remark}" for remark in self.remarks),
                f"\\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}",
                "\\toprule",
                f"{' & '.join(map(_escaped, self.head))} \\\\",
                "\\midrule",
                *body,
                "\\bottomrule",
                "\\end{tabular}",
            ]
        ) + "\n"  # fmt: skip


def summarised(entries: Sequence[Entry]) -> list[Summary]:
    """A table a benchmark: one row a model, training and protocol, below them what the paper has, where it has it."""
    tables: list[Benchmark] = list(dict.fromkeys(entry.benchmark for entry in entries))
    return [_summary(name, [entry for entry in entries if entry.benchmark == name]) for name in tables]


def write_tables(results: Sequence[Path], output: Path) -> str:
    """Put the figures of several results into `table.md` and `table.tex`; gives the first.

    Args:
        results: folders or files of them.
        output: folder of the tables.

    Raises:
        NoResults: one of them holds none.
        CannotWrite: the output is not writable.
    """
    tables = summarised([entry for folder in results for entry in read_entries(folder)])
    page = "\n".join(table.markdown() for table in tables)
    write_text(output / TABLE, page)
    write_text(output / TABLE.replace(".md", ".tex"), "\n".join(table.latex() for table in tables))
    return page


def _summary(benchmark: Benchmark, entries: Sequence[Entry]) -> Summary:
    printed = published(benchmark)
    columns = sorted({entry.column for entry in entries}, key=lambda column: _place(printed.columns, column))
    metrics = {entry.column: entry.metric for entry in entries}
    rows = []
    names = row_names(Origin(entry.model, entry.recipe, entry.training) for entry in entries)
    for row, protocol in dict.fromkeys((_row(entry), entry.protocol) for entry in entries):
        own = [entry for entry in entries if (_row(entry), entry.protocol) == (row, protocol)]
        cells = [_cell([entry for entry in own if entry.column == column]) for column in columns]
        rows.append((f"{names[row]}, {protocol}", *cells))
    rows += [
        (f"{model}, as published", *(_printed(printed.figure(model, column)) for column in columns))
        for model in printed.rows
        if any(printed.figure(model, column) is not None for column in columns)
    ]
    data = sorted({entry.data for entry in entries})
    remarks = (
        f"Measured on: {'; '.join(data)}. In brackets 95 % intervals by patients; ± is over seeds of one recipe; "
        "/ stands between figures that are no seeds of each other: other scans, or the same seed again.",
        f"As published: {printed.source}. Other scans and other weights: not a comparison.",
        *printed.remarks,
    )
    return Summary(benchmark, ("model", *(f"{c}, {metrics[c]}" for c in columns)), tuple(rows), remarks)


def _place(order: Sequence[str], column: str) -> tuple[int, str]:
    return (order.index(column) if column in order else len(order)), column


def _row(entry: Entry) -> tuple[str, str]:
    return entry.model, entry.training


def seeds_of_one(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Figures of one row and column, those together that differ in their seeds alone; what is there twice counts once.

    Args:
        entries: of one model, training, protocol and column.
    """
    groups: list[dict[str, Entry]] = []
    for entry in entries:
        for group in groups:
            same = next(iter(group.values())).data == entry.data
            if same and (entry.seeds not in group or str(group[entry.seeds]) == str(entry)):
                group.setdefault(entry.seeds, entry)
                break
        else:
            groups.append({entry.seeds: entry})
    return [list(group.values()) for group in groups]


def _cell(entries: Sequence[Entry]) -> str:
    return " / ".join(map(_figure, seeds_of_one(entries))) or "–"


def _figure(entries: Sequence[Entry]) -> str:
    values = [100 * entry.value for entry in entries if not math.isnan(entry.value)]
    if not values:
        return "–"
    if len(values) > 1:
        return f"{mean(values):.1f} ± {stdev(values):.1f}"
    lo, hi = entries[0].lo95, entries[0].hi95
    return f"{values[0]:.1f}" + ("" if math.isnan(lo) else f" ({100 * lo:.1f}–{100 * hi:.1f})")


def _printed(figure: float | None) -> str:
    if figure is None:
        return "–"
    return f"{figure if figure > 1 else 100 * figure:.1f}"


def _escaped(cell: str) -> str:
    for sign in ("\\", "%", "_", "&", "#", "$"):
        cell = cell.replace(sign, "\\textbackslash{}" if sign == "\\" else f"\\{sign}")
    return cell.replace("–", "--").replace("±", "$\\pm$")
