"""CT-RATE's tables: reports, labels, metadata, and the lists of scans that show no chest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simcrop_core.errors import UnreadableFile
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_training.datasets.ct_rate_names import ScanName, parse_scan_name
from simcrop_training.datasets.tables import read_table

NAME = "VolumeName"
REPORT_COLUMNS = (NAME, "Findings_EN", "Impressions_EN")
METADATA_COLUMNS = (NAME, "XYSpacing", "ZSpacing", "RescaleSlope", "RescaleIntercept")
# The set's own files spell the held-out split in two ways, and so do copies of them.
_SPLITS = ("train", "validation", "valid")
_REPORTS = ("radiology_text_reports", "reports")
_LABELS = ("multi_abnormality_labels", "predicted_labels")
_METADATA = ("metadata", "metadata")
# Lists made for SimCroP's down-stream tasks spell one label so.
_SPELLINGS = {"hietal hernia": "Hiatal hernia"}


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of a folder, of both splits.

    Attributes:
        reports: rows by scan, in the order of the files.
        labels: by scan, of each label in CT-RATE's order: 1, 0, or −1 where the table does not say.
        metadata: rows by scan.
        no_chest: scans on the set's lists of those that show no chest.
        bad_names: names in the report tables that are no CT-RATE scan's.
        has_labels: whether there is a table of labels at all.
        has_no_chest: whether there is such a list at all.
    """

    reports: Mapping[ScanName, Mapping[str, str]]
    labels: Mapping[ScanName, tuple[int, ...]]
    metadata: Mapping[ScanName, Mapping[str, str]]
    no_chest: frozenset[ScanName]
    bad_names: tuple[str, ...]
    has_labels: bool
    has_no_chest: bool = field(default=False)


def has_reports(top: Path) -> bool:
    """Whether a folder holds CT-RATE's report tables."""
    return bool(_found(top, *_REPORTS))


def has_labels(top: Path) -> bool:
    """Whether a folder holds CT-RATE's tables of labels."""
    return bool(_found(top, *_LABELS))


def read_tables(top: Path) -> Tables:
    """Every table below `top`, the folder that the set calls `dataset`.

    Raises:
        UnreadableFile: a table is no text.
        UnknownDataSet: a table lacks a column.
    """
    bad_names: list[str] = []
    reports: dict[ScanName, Mapping[str, str]] = {}
    for path in _found(top, *_REPORTS):
        for row in read_table(path, REPORT_COLUMNS):
            name = parse_scan_name(row[NAME])
            if name is None:
                bad_names.append(row[NAME])
            else:
                reports.setdefault(name, row)
    label_files = _found(top, *_LABELS)
    lists = [path for path in (top / "metadata" / f"no_chest_{split}.txt" for split in _SPLITS) if path.is_file()]
    return Tables(
        reports=reports,
        labels={name: _said(row) for name, row in _by_name(label_files, (NAME,))},
        metadata=dict(_by_name(_found(top, *_METADATA), METADATA_COLUMNS)),
        no_chest=frozenset(name for path in lists for name in _listed(path)),
        bad_names=tuple(bad_names),
        has_labels=bool(label_files),
        has_no_chest=bool(lists),
    )


def numbers(text: str, count: int) -> tuple[float, ...] | None:
    """The numbers of a cell such as "[0.75, 0.75]"; None unless there are `count` of them, all finite."""
    words = text.strip().strip("[]()").replace("\\", ",").split(",")
    try:
        found = tuple(float(word) for word in words)
    except ValueError:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _found(top: Path, folder: str, stem: str) -> list[Path]:
    """A table of each split, in its own folder or at the top."""
    places = [top / folder, top]
    found = []
    for split in _SPLITS:
        paths = [place / f"{split}_{stem}.csv" for place in places]
        found += [path for path in paths if path.is_file()][:1]
    return found


def _by_name(paths: Sequence[Path], columns: Sequence[str]) -> list[tuple[ScanName, dict[str, str]]]:
    rows = (row for path in paths for row in read_table(path, columns))
    named = ((parse_scan_name(row[NAME]), row) for row in rows)
    return [(name, row) for name, row in named if name is not None]


def _said(row: Mapping[str, str]) -> tuple[int, ...]:
    """What a row says of each label, in CT-RATE's order."""
    canonical = {label.casefold(): label for label in CT_RATE_LABELS} | _SPELLINGS
    named = {canonical.get(column.casefold()): numbers(value, 1) for column, value in row.items()}
    values = (named.get(label) for label in CT_RATE_LABELS)
    return tuple(int(value[0]) if value in ((0.0,), (1.0,)) else -1 for value in values)


def _listed(path: Path) -> list[ScanName]:
    """The scans of a list; a line may be a whole path of release 1."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UnreadableFile(f"The list {path} cannot be read: {fault}.", hint="Save it as UTF-8 text.") from fault
    names = (parse_scan_name(line) for line in lines)
    return [name for name in names if name is not None]
