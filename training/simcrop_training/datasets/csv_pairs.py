"""Anyone's CTs and reports: one table with a row a scan.

Columns `path`, `findings`, `impression`, `split`; optional `study` (scans with the same report) and `patient`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from simcrop_core.errors import UnknownDataSet, UnreadableFile
from simcrop_core.text.sentences import is_placeholder
from simcrop_training.datasets.study import DataSet, LeftOut, SourceStudy, SourceVolume
from simcrop_training.datasets.tables import read_table

COLUMNS = ("path", "findings", "impression", "split")
TERMS = (
    "The terms of the scans and reports that this was made from apply to it. It holds the reports' text: treat it as "
    "you treat them."
)
_TERMS_FILES = ("TERMS.md", "TERMS.txt", "LICENSE.md", "LICENSE.txt", "LICENSE")
_SPLITS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
           "test": "test"}  # fmt: skip


def read_csv_pairs(table: Path) -> DataSet:
    """Read a table of scans and reports; no scan is opened.

    Args:
        table: CSV in UTF-8. `path` is relative to it, or absolute: whatever `simcrop ground` reads.

    Raises:
        UnreadableFile: it is no CSV.
        UnknownDataSet: a column is missing, a split is none, or the rows of a study disagree.
    """
    left_out: list[LeftOut] = []
    studies: dict[str, SourceStudy] = {}
    seen: set[Path] = set()
    # The first line holds the columns' names; a report with line ends makes rows longer than lines.
    for number, row in enumerate(read_table(table, COLUMNS), start=1):
        name, path = row["path"].strip(), table.parent / row["path"].strip()
        if not name:
            left_out.append(LeftOut(f"row {number}", "bad-name", "Its path is empty."))
        elif path.resolve() in seen:
            left_out.append(LeftOut(name, "duplicate", "An earlier row names the same file."))
        elif not path.exists():
            left_out.append(LeftOut(name, "no-file", "There is no such file."))
        elif all(is_placeholder(row[section]) for section in ("findings", "impression")):
            left_out.append(LeftOut(name, "no-report", "Its report is empty."))
        else:
            organs = row.get("organs", "").strip()
            volume = SourceVolume(name, path, organs=table.parent / organs if organs else None)
            study = _study(row, name, volume, f"Row {number} of {table}")
            studies[study.key] = _joined(studies.get(study.key), study, f"Row {number} of {table}")
        seen.add(path.resolve())
    ordered = tuple(studies[key] for key in sorted(studies))
    return DataSet(table.stem, _terms(table.parent), ordered, tuple(left_out), tuple(_divided(ordered)))


def _divided(studies: Sequence[SourceStudy]) -> Iterator[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for study in studies:
        splits[study.patient].add(study.split)
    for patient, found in sorted(splits.items()):
        if len(found) > 1:
            yield f"The patient {patient} is in several splits: {', '.join(sorted(found))}."


def _study(row: Mapping[str, str], name: str, volume: SourceVolume, where: str) -> SourceStudy:
    split = _SPLITS.get(row["split"].strip().lower())
    if split is None:
        raise UnknownDataSet(
            f"{where} has the split {row['split']!r}.", hint=f"These are known: {', '.join(sorted(_SPLITS))}."
        )
    findings, impression = ("" if is_placeholder(text) else text for text in (row["findings"], row["impression"]))
    key = row.get("study", "").strip() or name
    return SourceStudy(key, row.get("patient", "").strip() or key, split, (volume,), findings, impression)


def _joined(have: SourceStudy | None, more: SourceStudy, where: str) -> SourceStudy:
    if have is None:
        return more
    for field in ("patient", "split", "findings", "impression"):
        if getattr(have, field) != getattr(more, field):
            raise UnknownDataSet(
                f"{where} and an earlier row of the study {have.key} have different values of `{field}`.",
                hint="Scans of one study share patient, split and report; give other scans another `study`.",
            )
    return SourceStudy(
        have.key, have.patient, have.split, (*have.volumes, *more.volumes), have.findings, have.impression
    )


def _terms(folder: Path) -> str:
    """The set's own terms where a file beside the table states them."""
    for path in (folder / name for name in _TERMS_FILES):
        if path.is_file():
            try:
                return f"{TERMS}\n\n{path.name}:\n\n{path.read_text(encoding='utf-8-sig').strip()}"
            except (OSError, UnicodeDecodeError) as fault:
                raise UnreadableFile(f"{path} cannot be read: {fault}.", hint="Save it as UTF-8 text.") from fault
    return TERMS
