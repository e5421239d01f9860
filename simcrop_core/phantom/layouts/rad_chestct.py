"""RAD-ChestCT: bare arrays at 0.8 mm, and tables of abnormality by location.

The folder:

    trn00007.npz, val….npz, tst….npz       key `ct`: int16 HU within ±1000, (slice, row, column)
    img{train,valid,test}_Abnormality_and_Location_Labels.csv

Slices run from the head down, rows to the back, columns to the patient's left, as the names of the set's own table of
lung extents say (`sup_axis0min`, `ant_axis1min`, `rig_axis2min`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from simcrop_core.export.atomic import replacing
from simcrop_core.phantom.layouts.layout import Written
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.rad_chestct_labels import COLUMNS, positive_columns
from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import Settings
from simcrop_core.phantom.layouts.tables import write_csv
from simcrop_core.phantom.truth import Phantom

SPACING_MM = 0.8
LIMIT_HU = 1000
_SPLITS = {"trn": "train", "val": "valid", "tst": "test"}
# A third of the time of zlib's default level, for a tenth more space.
_COMPRESSION = 1


def scan_name(settings: Settings, seed: int) -> str:
    """Of the held-out scans every second one is for testing."""
    if settings.split(seed) == "train":
        return f"trn{seed:05d}"
    return f"{('val', 'tst')[settings.held_out_rank(seed) % 2]}{seed:05d}"


def write_scan(folder: Path, scan: str, phantom: Phantom) -> Written:
    """Write the array, resampled to 0.8 mm.

    Raises:
        CannotWrite: the file cannot be written.
    """
    path = folder / f"{scan}.npz"
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive,
        archive.open("ct.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array(file, resampled(phantom), allow_pickle=False)
    return Written([path], {"positive": sorted(positive_columns(phantom))})


def write_tables(folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:  # noqa: ARG001
    """Write the table of each split; one without scans has its columns only.

    Raises:
        CannotWrite: a file cannot be written.
    """
    written = []
    for prefix, split in _SPLITS.items():
        path = folder / f"img{split}_Abnormality_and_Location_Labels.csv"
        rows = [
            {"NoteAcc_DEID": record.scan, **{column: int(column in record.row["positive"]) for column in COLUMNS}}
            for record in records
            if record.scan.startswith(prefix)
        ]
        write_csv(path, ("NoteAcc_DEID", *COLUMNS), rows)
        written.append(path)
    return written


def resampled(phantom: Phantom) -> NDArray[np.int16]:
    """(slice, row, column) int16 HU at 0.8 mm, linear.

    Voxel centres are counted from the phantom's lowest, right front one; that is the last slice's first row and column.
    """
    voxels = oriented(phantom.image, phantom.affine, "LPS")[0]
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.T))
    image.SetSpacing(phantom.spacing_mm)
    size = [int((n - 1) * mm / SPACING_MM) + 1 for n, mm in zip(voxels.shape, phantom.spacing_mm, strict=True)]
    finer = SimpleITK.Resample(
        image,
        size,
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        image.GetOrigin(),
        [SPACING_MM] * 3,
        image.GetDirection(),
        -1024,
        SimpleITK.sitkInt16,
    )
    upward = SimpleITK.GetArrayFromImage(finer)
    return np.ascontiguousarray(np.clip(upward[::-1], -LIMIT_HU, LIMIT_HU))
