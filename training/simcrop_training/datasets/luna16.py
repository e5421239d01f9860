"""LUNA16: whether a scan has an annotated nodule, and label maps of lungs and trachea."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnknownDataSet
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet
from simcrop_training.datasets.lists import split_by_seed
from simcrop_training.datasets.study import LeftOut
from simcrop_training.datasets.tables import read_table

NAME = "LUNA16"
NODULE_LABELS = ("Annotated nodule",)
LUNG_LABELS = ("background", "left lung", "right lung", "trachea")
# The set's own numbers of these; in maps numbered anew for the released code they are 0 to 3.
RAW_VALUES = (0, 3, 4, 5)
ANNOTATIONS, MASKS = "annotations.csv", "seg-lungs-LUNA16"
# As luna16.grand-challenge.org/Data says of both.
TERMS = "CC BY 4.0 (LUNA16, luna16.grand-challenge.org), its scans CC BY 3.0 (LIDC-IDRI)"
_TEST_SHARE = 0.3
_REMARK = (
    "The set has no held-out split: without lists, three tenths of the scans, drawn by seed, are for testing.",
    "Who was scanned is not published: each scan counts as a patient of its own.",
)


def read_luna16(folder: Path, *, seed: int = 0) -> LabelledSet:
    """Whether each scan has an annotated nodule; no scan is opened.

    Args:
        folder: with `subset0` to `subset9` (`<uid>.mhd`), or `images/<uid>.nii.gz` as the released down-stream code
            reads them, and `annotations.csv`.
        seed: of the split.

    Raises:
        UnknownDataSet: there are no annotations or no scans, or a column is missing.
        UnreadableFile: the table is no text.
    """
    table = folder / ANNOTATIONS
    if not table.is_file():
        raise UnknownDataSet(
            f"{folder} does not hold LUNA16's {ANNOTATIONS}.", hint="Give the folder that holds it and the subsets."
        )
    annotated = {row["seriesuid"].strip() for row in read_table(table, ("seriesuid", "diameter_mm"))}
    files = _scans(folder)
    scans = tuple(
        LabelledScan(uid, uid, path, "train", (int(uid in annotated),), _form(path)) for uid, path in files.items()
    )
    left_out = tuple(
        LeftOut(uid, "no-file", "It has an annotated nodule, but there is no such file.")
        for uid in sorted(annotated - files.keys())
    )
    whole = LabelledSet(NAME, NODULE_LABELS, False, scans, left_out, _REMARK, TERMS)
    return split_by_seed(whole, _TEST_SHARE, seed)


def read_luna16_lungs(folder: Path, *, seed: int = 0) -> LabelledSet:
    """Scans with label maps of lungs and trachea; no file is opened.

    Args:
        folder: with the scans as for `read_luna16`, and `seg-lungs-LUNA16/<uid>.mhd`, or
            `masks_processed/<uid>.nii.gz` as the released code reads them.
        seed: of the split.

    Raises:
        UnknownDataSet: there are no scans.
    """
    scans, left_out = [], []
    for uid, path in _scans(folder).items():
        raw, numbered = folder / MASKS / f"{uid}.mhd", folder / "masks_processed" / f"{uid}.nii.gz"
        scan = LabelledScan(uid, uid, path, "train", (), _form(path))
        if raw.is_file():
            scans.append(dataclasses.replace(scan, mask=raw, mask_values=RAW_VALUES))
        elif numbered.is_file():
            scans.append(dataclasses.replace(scan, mask=numbered))
        else:
            left_out.append(LeftOut(uid, "no-file", f"There is no {MASKS}/{uid}.mhd of it."))
    whole = LabelledSet(f"{NAME} lungs", LUNG_LABELS, False, tuple(scans), tuple(left_out), _REMARK, TERMS)
    return split_by_seed(whole, _TEST_SHARE, seed)


def _form(path: Path) -> Literal["file", "preprocessed"]:
    return "file" if path.suffix == ".mhd" else "preprocessed"


def _scans(folder: Path) -> dict[str, Path]:
    """Scans by series UID, in the order of these."""
    found = {path.name.removesuffix(".nii.gz"): path for path in (folder / "images").glob("*.nii.gz")}
    found |= {path.stem: path for path in folder.glob("subset*/*.mhd")}
    if not found:
        raise UnknownDataSet(
            f"{folder} holds no scans of LUNA16.", hint="Unpack its subsets there: subset0/<uid>.mhd and .raw."
        )
    return dict(sorted(found.items()))
