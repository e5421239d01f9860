"""LUNA16: MetaImage volumes in ten subsets, nodule centres in a table, masks of lungs and trachea.

The folder:

    subset0 … subset9/<uid>.mhd, .raw
    seg-lungs-LUNA16/<uid>.mhd, .zraw       3 left lung, 4 right lung, 5 trachea
    annotations.csv                         seriesuid, centre in world coordinates (LPS, mm), diameter_mm
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simcrop_core.imaging.affine import apply
from simcrop_core.phantom.layouts.drawn import parts_of, voxels_of
from simcrop_core.phantom.layouts.layout import Written
from simcrop_core.phantom.layouts.metaimage import write_mhd
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import NOTICE, Settings
from simcrop_core.phantom.layouts.tables import write_csv
from simcrop_core.phantom.truth import LABELS, Phantom

ANNOTATION_COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
MASK_VALUES = {"left lung": 3, "right lung": 4, "trachea": 5}
SUBSETS = 10
SMALLEST_MM = 3.0  # the set annotates nothing smaller
_NAMESPACE = uuid.UUID("6f0f0b0e-6d1c-5c43-9a53-0d6b1a3a1d16")


def scan_name(settings: Settings, seed: int) -> str:
    """A DICOM series UID under 2.25, the root for UIDs that belong to nobody."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{settings.style} {settings.size} {seed}').int}"


def write_scan(folder: Path, scan: str, phantom: Phantom) -> Written:
    """Write the volume and its lung mask, and find the nodules.

    Raises:
        CannotWrite: a file cannot be written.
    """
    values = np.zeros(len(LABELS), dtype=np.uint8)
    for name, value in MASK_VALUES.items():
        values[LABELS.index(name)] = value
    image = folder / f"subset{phantom.seed % SUBSETS}" / f"{scan}.mhd"
    lungs = folder / "seg-lungs-LUNA16" / f"{scan}.mhd"
    files = write_mhd(image, *oriented(phantom.image, phantom.affine, "LPS"), NOTICE)
    files += write_mhd(lungs, *oriented(values[phantom.labels], phantom.affine, "LPS"), NOTICE, compressed=True)
    return Written(files, {"nodules": _nodules(phantom)})


def write_tables(folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:  # noqa: ARG001
    """Write `annotations.csv`: a row a nodule.

    Raises:
        CannotWrite: the file cannot be written.
    """
    path = folder / "annotations.csv"
    rows = [
        dict(zip(ANNOTATION_COLUMNS, (record.scan, *nodule), strict=True))
        for record in records
        for nodule in record.row["nodules"]
    ]
    write_csv(path, ANNOTATION_COLUMNS, rows)
    return [path]


def _nodules(phantom: Phantom) -> list[list[float]]:
    """Centre (LPS, mm) and diameter of each nodule: that of the ball of its volume."""
    shape = phantom.image.shape
    rows = []
    for voxels in parts_of(voxels_of(phantom, "nodule"), shape):
        volume_mm3 = voxels.size * float(np.prod(phantom.spacing_mm))
        diameter_mm = 2 * (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3)
        right, front, up = apply(phantom.affine, np.stack(np.unravel_index(voxels, shape), axis=-1).mean(axis=0))
        if diameter_mm >= SMALLEST_MM:
            rows.append([round(float(value), 3) for value in (-right, -front, up, diameter_mm)])
    return rows
