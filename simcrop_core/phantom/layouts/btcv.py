"""BTCV in the Medical Decathlon's form: images, label maps of 13 abdominal organs, and a list of both.

The folder:

    imagesTr/btcv_007.nii.gz, labelsTr/btcv_007.nii.gz
    dataset.json                        keys training, validation and test, paths relative to the folder
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simcrop_core.export.nifti import write_labelmap, write_volume
from simcrop_core.models.presets import BTCV_LABELS
from simcrop_core.phantom.layouts.drawn import organ_map
from simcrop_core.phantom.layouts.layout import Written
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import NOTICE, Settings
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.phantom.truth import Phantom

# Left-anterior-superior, unlike the other layouts, so that a reader that takes axes for granted is found out.
AXES = "LAS"
_NUMBERS = {name: value for value, name in enumerate(BTCV_LABELS) if value}


def scan_name(settings: Settings, seed: int) -> str:  # noqa: ARG001
    """Three digits or more."""
    return f"btcv_{seed:03d}"


def write_scan(folder: Path, scan: str, phantom: Phantom) -> Written:
    """Write the volume and the organs in it.

    Raises:
        CannotWrite: a file cannot be written.
    """
    image, labels = folder / "imagesTr" / f"{scan}.nii.gz", folder / "labelsTr" / f"{scan}.nii.gz"
    voxels, affine = oriented(phantom.image, phantom.affine, AXES)
    write_volume(image, voxels, affine, description=NOTICE)
    organs = oriented(organ_map(phantom, _NUMBERS), phantom.affine, AXES)[0]
    write_labelmap(labels, organs, affine, dict(enumerate(BTCV_LABELS)), description=NOTICE)
    return Written([image, labels])


def write_tables(folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:  # noqa: ARG001
    """Write `dataset.json`.

    Raises:
        CannotWrite: the file cannot be written.
    """
    lists = {
        ours: [
            {"image": f"imagesTr/{record.scan}.nii.gz", "label": f"labelsTr/{record.scan}.nii.gz"}
            for record in records
            if record.split == split
        ]
        for ours, split in (("training", "train"), ("validation", "valid"))
    }
    path = folder / "dataset.json"
    document = {
        "name": "BTCV",
        "description": NOTICE,
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {str(value): name for value, name in enumerate(BTCV_LABELS)},
        "numTraining": len(lists["training"]),
        "numTest": 0,
        **lists,
        "test": [],
    }
    write_json_file(path, document)
    return [path]
