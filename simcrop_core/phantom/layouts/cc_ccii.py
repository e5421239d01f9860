"""CC-CCII as SimCroP's released down-stream code reads it: one NIfTI a scan, slices first, and lists with a class.

The folder:

    images_resized/7.nii.gz
    train_list.csv, val_list.csv, test_list.csv        img_list, label (0, 1 or 2); val and test are the same
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simcrop_core.export.nifti import write_volume
from simcrop_core.phantom.layouts.drawn import topics_of
from simcrop_core.phantom.layouts.layout import Written
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import NOTICE, Settings
from simcrop_core.phantom.layouts.tables import write_csv
from simcrop_core.phantom.truth import Phantom

# Slices first, rows to the back, columns to the left: a stack of pictures.
AXES = "SPL"
_LISTS = {"train_list.csv": "train", "val_list.csv": "valid", "test_list.csv": "valid"}


def scan_name(settings: Settings, seed: int) -> str:  # noqa: ARG001
    """A bare number."""
    return str(seed)


def write_scan(folder: Path, scan: str, phantom: Phantom) -> Written:
    """Write the volume, slices first, and choose its class.

    Raises:
        CannotWrite: the file cannot be written.
    """
    path = folder / "images_resized" / f"{scan}.nii.gz"
    write_volume(path, *oriented(phantom.image, phantom.affine, AXES), description=NOTICE)
    return Written([path], {"class": _class_of(phantom)})


def write_tables(folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:  # noqa: ARG001
    """Write the lists.

    Raises:
        CannotWrite: a file cannot be written.
    """
    for name, split in _LISTS.items():
        rows = [{"img_list": f"{r.scan}.nii.gz", "label": r.row["class"]} for r in records if r.split == split]
        write_csv(folder / name, ("img_list", "label"), rows)
    return [folder / name for name in _LISTS]


def _class_of(phantom: Phantom) -> int:
    """2 ground glass, 1 consolidation without it, 0 neither: a stand-in for COVID-19, other pneumonia, none."""
    drawn = topics_of(phantom)
    return 2 if "ground-glass opacity" in drawn else int("consolidation" in drawn)
