"""CT-RATE as a labelled set: 18 labels a scan, the set's own training and held-out patients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simcrop_core.errors import UnknownDataSet
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_training.datasets.ct_rate import named_below, scans_below, source_volume
from simcrop_training.datasets.ct_rate_names import ScanName
from simcrop_training.datasets.ct_rate_tables import Tables, has_labels, read_tables
from simcrop_training.datasets.labelled import UNKNOWN, LabelledScan, LabelledSet
from simcrop_training.datasets.study import LeftOut, SourceVolume

NAME = "CT-RATE"
# Folders of the scans that the released down-stream code reads; how they are made from the set's own is not released.
PREPROCESSED = ("train_preprocessed", "valid_preprocessed")


def read_ct_rate_labels(folder: Path) -> LabelledSet:
    """Read the tables and look which scans are there; no scan is opened, and no report is needed.

    Scans are looked for in the set's own folders (`train_fixed`, `valid_fixed`, `train`, `valid`), whatever their
    sub-folders are called, then in `train_preprocessed` and `valid_preprocessed`. The set's held-out scans are for
    testing.

    Args:
        folder: the one that holds `dataset`, or that one itself.

    Raises:
        UnknownDataSet: there are no tables of labels, or a table lacks a column.
        UnreadableFile: a table is no text.
    """
    top = next((top for top in (folder / "dataset", folder) if has_labels(top)), None)
    if top is None:
        raise UnknownDataSet(
            f"{folder} does not hold CT-RATE's labels: multi_abnormality_labels/train_predicted_labels.csv.",
            hint="Give the folder that holds `dataset`, with the set's tables beside its scans.",
        )
    tables = read_tables(top)
    raw = scans_below(top)
    preprocessed = {
        name: path for place in (folder, top) for part in PREPROCESSED for name, path in named_below(place / part)
    }
    scans, left_out = [], []
    for name in sorted(tables.labels):
        if name not in raw and name in preprocessed and name not in tables.no_chest:
            scan = _scan(name, SourceVolume(str(name), preprocessed[name]), tables, preprocessed=True)
        else:
            source = source_volume(name, raw.get(name), tables)
            scan = source if isinstance(source, LeftOut) else _scan(name, source, tables)
        if isinstance(scan, LeftOut):
            left_out.append(scan)
        else:
            scans.append(scan)
    used_preprocessed = any(scan.form == "preprocessed" for scan in scans)
    remarks = tuple(_remarks(tables, preprocessed=used_preprocessed))
    return LabelledSet(NAME, CT_RATE_LABELS, False, tuple(scans), tuple(left_out), remarks)


def _scan(
    name: ScanName, source: SourceVolume, tables: Tables, *, preprocessed: bool = False
) -> LabelledScan | LeftOut:
    labels = tables.labels[name]
    if all(value == UNKNOWN for value in labels):
        return LeftOut(str(name), "no-labels", "The table of labels says nothing of it.")
    return LabelledScan(
        name=str(name),
        patient=name.patient_key,
        path=source.path,
        split="train" if name.split == "train" else "test",
        labels=labels,
        form="preprocessed" if preprocessed else "source",
        source=source,
    )


def _remarks(tables: Tables, *, preprocessed: bool) -> Iterator[str]:
    if not tables.has_no_chest:
        yield "The lists of scans that show no chest are not there: such scans are found by their voxels alone."
    if preprocessed:
        yield (
            "Preprocessed scans: 1.5 × 1.5 × 3.0 mm and the directions of the set's own files are taken for granted "
            "where a header states nothing."
        )
