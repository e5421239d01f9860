"""The table of a comparison: mean ± standard deviation over seeds, and over which labels a mean was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from simcrop_core.text.ct_rate import CT_RATE_LABELS

Figures = Mapping[str, float]
_ORDER = ("probe", "hit", "auc_absent", "zero_shot", "report_to_scan", "scan_to_report", "step_s", "memory_gb")
_COMMON = "common labels"


def by_label(name: str, areas: Mapping[str, float]) -> dict[str, float]:
    """The figures of one column: the mean over labels under its name, and the area of each label under `name/label`.

    Nothing where no label has an area.
    """
    if not areas:
        return {}
    return {name: mean(areas.values()), **{f"{name}/{label}": area for label, area in areas.items()}}


def table(measured: Mapping[str, Sequence[Figures]]) -> str:
    """A Markdown table.

    A mean of areas under the curve says over how many of the 18 labels it was taken. Where rows have others, a second
    column has the mean over the labels that all of them have.

    Args:
        measured: figures of each seed, by method.
    """
    everything = [row for rows in measured.values() for row in rows]
    columns = sorted({key for row in everything for key in row if key.count("/") < 2}, key=_place)
    apart = {column: common for column in columns if (common := _common(column, everything)) is not None}
    heads = [head for c in columns for head in ([c, f"{c}, {len(apart[c])} {_COMMON}"] if c in apart else [c])]
    lines = ["| method | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    for name, rows in measured.items():
        cells = []
        for column in columns:
            cells.append(_cell([row[column] for row in rows if column in row]) + _counted(column, rows))
            if column in apart:
                cells.append(_cell(_over(column, apart[column], rows)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(["Synthetic data: phantoms.", *_words(columns, apart, everything), "", *lines]) + "\n"


def _words(columns: Sequence[str], apart: Mapping[str, Sequence[str]], rows: Sequence[Figures]) -> list[str]:
    """What a reader has to know of the means over labels."""
    if not any(_labels(column, row) for column in columns for row in rows):
        return []
    words = f"Of AUROC the mean over labels is given, (n of {len(CT_RATE_LABELS)}) beside it says over how many."
    if not apart:
        return [words + " All rows of a column have the same labels."]
    names = ", ".join(apart)
    return [
        f"{words} Rows of {names} have different labels: their means compare only in the column of {_COMMON} beside it."
    ]


def _labels(column: str, row: Figures) -> frozenset[str]:
    """The labels that a row has an area of in a column."""
    return frozenset(label for label in CT_RATE_LABELS if f"{column}/{label}" in row)


def _common(column: str, rows: Sequence[Figures]) -> list[str] | None:
    """The labels that all rows have that have any; None where they have no others."""
    sets = {found for row in rows if (found := _labels(column, row))}
    return sorted(frozenset.intersection(*sets)) if len(sets) > 1 else None


def _over(column: str, labels: Sequence[str], rows: Sequence[Figures]) -> list[float]:
    return [mean(row[f"{column}/{label}"] for label in labels) for row in rows if labels and column in row]


def _counted(column: str, rows: Sequence[Figures]) -> str:
    """Over how many labels: as many as the seeds have, from the fewest to the most."""
    counts = sorted({len(found) for row in rows if (found := _labels(column, row))})
    if not counts:
        return ""
    return f" ({'–'.join(map(str, dict.fromkeys([counts[0], counts[-1]])))} of {len(CT_RATE_LABELS)})"


def _place(column: str) -> tuple[int, str]:
    return _ORDER.index(column.split("/")[0]), column


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
