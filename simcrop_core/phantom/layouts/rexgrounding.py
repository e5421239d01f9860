"""ReXGroundingCT: CT-RATE's scans, with a mask for every finding of lung and pleura.

The folder:

    dataset/…                            as CT-RATE
    segmentations/train_7_a_1.nii.gz     (finding, x, y, z), each connected part of a finding numbered from 1
    dataset.json                         by split, one entry a scan: findings, categories, counts

The entry's fields and the order of the mask's axes are as the set's public card describes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_core.export.nifti import write_volume
from simcrop_core.phantom.layouts import ct_rate
from simcrop_core.phantom.layouts.drawn import findings_of, parts_of
from simcrop_core.phantom.layouts.layout import Written
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import NOTICE, Settings
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.phantom.truth import Phantom, Statement

# The set's category of each kind; findings elsewhere than in lung and pleura have none and are left out.
CATEGORIES = {
    "peribronchial thickening": "1a",
    "bronchiectasis": "1b",
    "emphysema": "1c",
    "septal thickening": "1d",
    "mosaic attenuation": "1f",
    "fibrotic band": "2a",
    "atelectasis": "2b",
    "consolidation": "2b",
    "ground-glass opacity": "2c",
    "nodule": "2d",
    "mass": "2d",
    "pleural effusion": "2e",
    "pneumothorax": "2g",
}

scan_name = ct_rate.scan_name


def write_scan(folder: Path, scan: str, phantom: Phantom) -> Written:
    """Write the volume as CT-RATE has it, and its masks; a scan without such a finding has none.

    Raises:
        CannotWrite: a file cannot be written.
    """
    files = ct_rate.write_scan(folder, scan, phantom).files
    findings = [s for s in findings_of(phantom) if s.topic in CATEGORIES]
    if not findings:
        return Written(files)
    x, y, z = phantom.image.shape
    # In the order of the file: written plane by plane, the other order would take seconds.
    masks = np.zeros((len(findings), x, y, z), dtype=np.uint16, order="F")
    parts = [
        _number_parts(oriented(mask, phantom.affine, "LPS")[0], finding)
        for mask, finding in zip(masks, findings, strict=True)
    ]
    path = folder / "segmentations" / f"{scan}.nii.gz"
    write_volume(path, masks, oriented(phantom.image, phantom.affine, "LPS")[1], description=NOTICE)
    row = {
        "name": f"{scan}.nii.gz",
        "findings": {str(n): s.text for n, s in enumerate(findings)},
        "entity_counts": {str(n): count for n, count in enumerate(parts)},
        "shape": [x, y, z],
        "pixels": {str(n): int(s.voxels.size) for n, s in enumerate(findings)},
        "categories": {str(n): CATEGORIES[s.topic] for n, s in enumerate(findings)},
        "protocol": "synthetic",
    }
    return Written([*files, path], row)


def write_tables(folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:
    """Write CT-RATE's tables and `dataset.json`.

    Raises:
        CannotWrite: a file cannot be written.
    """
    path = folder / "dataset.json"
    entries = {
        ours: [record.row for record in records if record.split == split and record.row]
        for ours, split in (("train", "train"), ("val", "valid"))
    }
    write_json_file(path, {**entries, "test": []})
    return [*ct_rate.write_tables(folder, settings, records), path]


def _number_parts(mask: NDArray[np.uint16], finding: Statement) -> int:
    """Write 1, 2, … into the connected parts of a finding; returns how many there are."""
    parts = parts_of(finding.voxels, mask.shape)
    for number, voxels in enumerate(parts, start=1):
        mask[np.unravel_index(voxels, mask.shape)] = number
    return len(parts)
