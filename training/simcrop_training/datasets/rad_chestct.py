"""RAD-ChestCT: bare arrays, and tables of abnormality by location, read as 16 of CT-RATE's labels.

RAD-ChestCT (Draelos et al., Zenodo 6406114) has 3,630 public scans; docs/benchmark-data.md has the map of its labels.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnknownDataSet
from simcrop_training.datasets.labelled import UNKNOWN, LabelledScan, LabelledSet, Split
from simcrop_training.datasets.study import LeftOut
from simcrop_training.datasets.tables import opened_table

NAME, KEY = "RAD-ChestCT", "NoteAcc_DEID"
LabelMap = Literal["corrected", "simcrop_released"]
HeldOut = Literal["published", "simcrop_released"]
# Label → the set's abnormalities of which any makes it positive; "Calcification" stands for both of CT-RATE's.
ABNORMALITIES: Mapping[str, tuple[str, ...]] = {
    "Medical material": (
        "breast_implant", "catheter_or_port", "chest_tube", "clip", "distention", "gi_tube", "hardware", "staple",
        "stent", "suture", "tracheal_tube", "transplant",
    ),
    "Calcification": ("calcification",),
    "Cardiomegaly": ("cardiomegaly",),
    "Pericardial effusion": ("pericardial_effusion",),
    "Hiatal hernia": ("hernia",),
    "Lymphadenopathy": ("lymphadenopathy",),
    "Emphysema": ("emphysema",),
    "Atelectasis": ("atelectasis",),
    "Lung nodule": ("nodule",),
    "Lung opacity": ("opacity",),
    "Pulmonary fibrotic sequela": ("fibrosis",),
    "Pleural effusion": ("pleural_effusion",),
    "Peribronchial thickening": ("bronchial_wall_thickening",),
    "Consolidation": ("consolidation",),
    "Bronchiectasis": ("bronchiectasis",),
    "Interlobular septal thickening": ("septal_thickening",),
}  # fmt: skip
RAD_CHESTCT_LABELS = tuple(ABNORMALITIES)
_COPIED: Mapping[str, tuple[str, ...]] = {"Pericardial effusion": ABNORMALITIES["Pleural effusion"]}
_TABLES: Mapping[str, Split] = {"train": "train", "valid": "valid", "test": "test"}
_SWAPPED: Mapping[Split, Split] = {"train": "train", "valid": "test", "test": "valid"}


def read_rad_chestct(
    folder: Path, *, label_map: LabelMap = "corrected", held_out: HeldOut = "published"
) -> LabelledSet:
    """Read the tables and look which scans are there; no scan is opened.

    Args:
        folder: with `img{train,valid,test}_Abnormality_and_Location_Labels.csv`, and the scans beside them
            (`trn00001.npz`), or in `images` as the released down-stream code reads them (`images/trn00001.nii.gz`).
        label_map: "corrected"; or "simcrop_released": pericardial effusion is a copy of pleural effusion, as in the
            lists that SimCroP was measured with.
        held_out: which of the held-out parts is for testing: the set's own, or the other one, as in those lists.

    Raises:
        UnknownDataSet: there is no such table, or it has no column of an abnormality.
        UnreadableFile: a table is no text.
    """
    tables = {
        split: path
        for part, split in _TABLES.items()
        if (path := folder / f"img{part}_Abnormality_and_Location_Labels.csv").is_file()
    }
    if not tables:
        raise UnknownDataSet(
            f"{folder} does not hold RAD-ChestCT: there is no imgtrain_Abnormality_and_Location_Labels.csv in it.",
            hint="Give the folder with the set's tables and its .npz files.",
        )
    of_label = {**ABNORMALITIES, **(_COPIED if label_map == "simcrop_released" else {})}
    scans: list[LabelledScan] = []
    left_out: list[LeftOut] = []
    for published, path in tables.items():
        split = published if held_out == "published" else _SWAPPED[published]
        for name, labels in _read_labels(path, of_label).items():
            scan = _scan(folder, name, split, labels)
            if isinstance(scan, LeftOut):
                left_out.append(scan)
            else:
                scans.append(scan)
    return LabelledSet(NAME, RAD_CHESTCT_LABELS, False, tuple(scans), tuple(left_out), _remarks(label_map, held_out))


def _scan(folder: Path, name: str, split: Split, labels: tuple[int, ...]) -> LabelledScan | LeftOut:
    array, image = folder / f"{name}.npz", folder / "images" / f"{name}.nii.gz"
    if all(value == UNKNOWN for value in labels):
        return LeftOut(name, "no-labels", "The table says nothing of it.")
    # Who was scanned is not published: each scan stands for itself.
    if array.is_file():
        return LabelledScan(name, name, array, split, labels, "rad-chestct")
    if image.is_file():
        return LabelledScan(name, name, image, split, labels, "preprocessed")
    return LeftOut(name, "no-file", "The table names it, but there is no such file.")


def _read_labels(path: Path, of_label: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[int, ...]]:
    """Each scan's labels. Row by row: a table has thousands of columns, and only some are kept."""
    with opened_table(path) as file:
        rows = csv.reader(file)
        header = [column.strip() for column in next(rows, [])]
        columns = {
            label: [number for number, column in enumerate(header) if column.split("*")[0] in abnormalities]
            for label, abnormalities in of_label.items()
        }
        missing = [label for label, numbers in columns.items() if not numbers] + ([] if KEY in header else [KEY])
        if missing:
            raise UnknownDataSet(
                f"The table {path} has no columns for {', '.join(missing)}.",
                hint=f"Take the set's own table: a column {KEY}, and columns such as pleural_effusion*left_lung.",
            )
        key = header.index(KEY)
        return {
            row[key].strip(): tuple(_any([row[n] for n in numbers if n < len(row)]) for numbers in columns.values())
            for row in rows
            if len(row) > key
        }


def _any(cells: list[str]) -> int:
    """1 where any location has it, 0 where none has, −1 where nothing is said."""
    said = {cell.strip() for cell in cells} - {"", "nan"}
    if not said:
        return UNKNOWN
    return int(bool(said & {"1", "1.0"}))


def _remarks(label_map: LabelMap, held_out: HeldOut) -> tuple[str, ...]:
    said = []
    if label_map == "simcrop_released":
        said.append("Label map simcrop_released: pericardial effusion is a copy of pleural effusion.")
    if held_out == "simcrop_released":
        said.append("Held-out parts as in SimCroP's lists: the set's imgtest validates, its imgvalid is tested on.")
    said.append("Who was scanned is not published: each scan counts as a patient of its own.")
    said.append("Medical material is positive for distention, and not for pacemakers, heart valves and sternotomies.")
    return tuple(said)
