"""CT-RATE, both releases: which scans there are, how to read each, and which are left out.

Release 1 (`train`, `valid`) stores what the scanner stored: Hounsfield units and geometry are in the metadata table.
Release 2 (`train_fixed`, `valid_fixed`) stores HU, and geometry in the header; its metadata table still names the
rescale of release 1, which must not be applied again (docs/training-data.md).
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnknownDataSet
from simcrop_core.phantom.layouts.settings import NOTICE, SETTINGS_FILE
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.sentences import is_placeholder
from simcrop_training.datasets.ct_rate_names import ScanName, parse_scan_name
from simcrop_training.datasets.ct_rate_tables import Tables, has_reports, numbers, read_tables
from simcrop_training.datasets.study import DataSet, LeftOut, Rescale, SourceStudy, SourceVolume, StatedGeometry

TERMS = (
    "CT-RATE is licensed CC BY-NC-SA 4.0 and access to it is granted person by person: neither its scans and reports "
    "nor anything made from them may be passed on to others or used commercially."
)
# ZSpacing is not a number, as users of CT-CLIP reported: also left out by SimCroP.
NO_SPACING = frozenset({"train_1267_a_4", "train_11755_a_3", "train_11755_a_4"})
# Named in the tables of release 2, but never published.
NEVER_PUBLISHED = frozenset({"train_14384_a_2", "valid_251_a_2"})
# Found by eye to show more than a chest, or something else, by the authors of SPECTRE.
MIXED_BODY = frozenset(
    """train_1022_a train_11401_a train_1162_a train_13728_a train_13739_a train_17867_a train_18676_a train_2871_a
    train_3821_a train_4288_a train_6331_a valid_1170_a""".split()  # noqa: SIM905
)
_SPLIT_FOLDERS: Mapping[str, Literal[1, 2]] = {"train_fixed": 2, "valid_fixed": 2, "train": 1, "valid": 1}
# Label maps by TotalSegmentator, in the same folders as the scans they are of.
_LABEL_MAPS = Path("ts_seg", "ts_total")
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def is_ct_rate(folder: Path) -> bool:
    """Whether a folder holds CT-RATE's tables, at its top or in `dataset`."""
    return any(has_reports(top) for top in (folder / "dataset", folder))


def read_ct_rate(folder: Path) -> DataSet:
    """Read the tables and look which scans are there; no scan is opened.

    Args:
        folder: the one that holds `dataset`, or that one itself.

    Raises:
        UnknownDataSet: there are no report tables, or a table lacks a column.
        UnreadableFile: a table is no text.
    """
    top = next((top for top in (folder / "dataset", folder) if has_reports(top)), None)
    if top is None:
        raise UnknownDataSet(
            f"{folder} does not hold CT-RATE: there is no radiology_text_reports/train_reports.csv in it.",
            hint="Give the folder that holds `dataset`, with the set's tables beside its scans.",
        )
    tables = read_tables(top)
    files, maps = scans_below(top), scans_below(top / _LABEL_MAPS)
    left_out = [LeftOut(name, "bad-name", "The name is not that of a CT-RATE scan.") for name in tables.bad_names]
    left_out += [
        LeftOut(str(name), "no-report", "The report tables do not name it.")
        for name in sorted(files.keys() - tables.reports.keys())
    ]
    volumes: dict[str, dict[ScanName, SourceVolume]] = defaultdict(dict)
    for name in sorted(tables.reports):
        volume = _volume(name, files.get(name), tables)
        if isinstance(volume, LeftOut):
            left_out.append(volume)
        else:
            labels = maps.get(name)
            volumes[name.study_key][name] = dataclasses.replace(volume, organs=labels and labels[0])
    studies = [_study(key, found, tables) for key, found in sorted(volumes.items())]
    synthetic = _is_synthetic(folder) or _is_synthetic(top.parent)
    return DataSet(
        name="CT-RATE phantoms" if synthetic else "CT-RATE",
        terms=NOTICE if synthetic else TERMS,
        studies=tuple(studies),
        left_out=tuple(left_out),
        remarks=tuple(_remarks(tables, volumes, synthetic=synthetic)),
    )


def scans_below(top: Path) -> dict[ScanName, tuple[Path, Literal[1, 2]]]:
    """Every file with a scan's name below the folders of the splits, that of release 2 where both releases have it."""
    found: dict[ScanName, tuple[Path, Literal[1, 2]]] = {}
    for folder, release in _SPLIT_FOLDERS.items():
        for name, path in named_below(top / folder):
            found.setdefault(name, (path, release))
    return found


def named_below(folder: Path) -> Iterator[tuple[ScanName, Path]]:
    """Every file below a folder that has a scan's name, whatever its folders are called."""
    for path, _, files in os.walk(folder):
        for file in files:
            name = parse_scan_name(file)
            if name is not None:
                yield name, Path(path) / file


def _volume(name: ScanName, found: tuple[Path, Literal[1, 2]] | None, tables: Tables) -> SourceVolume | LeftOut:
    """How to read a scan of the report table, or why not to."""
    if name not in tables.no_chest and found is not None and _says_nothing(tables.reports[name]):
        return LeftOut(str(name), "no-report", "Its report is empty.")
    return source_volume(name, found, tables)


def source_volume(name: ScanName, found: tuple[Path, Literal[1, 2]] | None, tables: Tables) -> SourceVolume | LeftOut:
    """How to read a scan by its file and the metadata, or why not to; its report does not matter.

    Args:
        name: of the scan, in some table.
        found: its file and that file's release; None where there is none.
        tables: of the set.
    """
    if name in tables.no_chest:
        return LeftOut(str(name), "no-chest", "It is on the set's own list of scans that show no chest.")
    if found is None:
        known = " It was never published." if str(name) in NEVER_PUBLISHED else ""
        return LeftOut(str(name), "no-file", f"The tables name it, but there is no such file.{known}")
    path, release = found
    row = tables.metadata.get(name)
    spacing = None if row is None else _spacing(row)
    if str(name) in NO_SPACING or (spacing is None and (row is not None or release == 1)):
        return LeftOut(str(name), "no-spacing", "The metadata table does not say how far apart its slices are.")
    if release == 2:
        return SourceVolume(str(name), path, stated_spacing_mm=spacing)
    rescale = None if row is None else _rescale(row)
    if row is None or spacing is None or rescale is None:
        return LeftOut(str(name), "no-spacing", "The metadata table does not give its rescale.")
    return SourceVolume(str(name), path, rescale=rescale, geometry=_geometry(row, spacing))


def _says_nothing(report: Mapping[str, str]) -> bool:
    return all(is_placeholder(report[section]) for section in ("Findings_EN", "Impressions_EN"))


def _spacing(row: Mapping[str, str]) -> tuple[float, float, float] | None:
    """(x, y, z) mm; the table's pair is DICOM's, between rows first."""
    plane, slices = numbers(row["XYSpacing"], 2), numbers(row["ZSpacing"], 1)
    if plane is None or slices is None or min(*plane, *slices) <= 0:
        return None
    return plane[1], plane[0], slices[0]


def _rescale(row: Mapping[str, str]) -> Rescale | None:
    slope, intercept = numbers(row["RescaleSlope"], 1), numbers(row["RescaleIntercept"], 1)
    return None if slope is None or intercept is None or slope[0] == 0 else Rescale(slope[0], intercept[0])


def _geometry(row: Mapping[str, str], spacing: tuple[float, float, float]) -> StatedGeometry:
    """Upright where the table does not say how the patient lay in the grid."""
    a, b, c, d, e, f = numbers(row.get("ImageOrientationPatient", ""), 6) or _UPRIGHT
    left, back, up = numbers(row.get("ImagePositionPatient", ""), 3) or (0.0, 0.0, 0.0)
    return StatedGeometry(spacing, ((a, b, c), (d, e, f)), (left, back, up))


def _study(key: str, volumes: Mapping[ScanName, SourceVolume], tables: Tables) -> SourceStudy:
    """Report and labels are the same in every row of a study; the first one's are taken."""
    first = min(volumes)
    row = tables.reports[first]
    findings, impression = (
        "" if is_placeholder(text) else text for text in (row["Findings_EN"], row["Impressions_EN"])
    )
    said = tables.labels.get(first) if tables.has_labels else None
    labels = (
        None if said is None else tuple(label for label, value in zip(CT_RATE_LABELS, said, strict=True) if value == 1)
    )
    ordered = tuple(volumes[name] for name in sorted(volumes))
    return SourceStudy(key, first.patient_key, first.split, ordered, findings, impression, labels)


def _remarks(
    tables: Tables, volumes: Mapping[str, Mapping[ScanName, SourceVolume]], *, synthetic: bool
) -> Iterator[str]:
    if not tables.has_no_chest and not synthetic:
        yield "metadata/no_chest_train.txt is not there: scans without a chest are found by their voxels alone."
    for key in sorted(MIXED_BODY & volumes.keys()):
        yield f"{key} is known to show more than a chest; its scans are used where lungs are found."
    for key, found in sorted(volumes.items()):
        said = {(tables.reports[name]["Findings_EN"], tables.reports[name]["Impressions_EN"]) for name in found}
        if len(said) > 1:
            yield f"{key} has {len(said)} different reports; that of {min(found)} is used."


def _is_synthetic(folder: Path) -> bool:
    path = folder / SETTINGS_FILE
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("synthetic") is True
