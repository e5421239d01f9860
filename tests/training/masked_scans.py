"""A table of sentences and masks over small chests, each with one bright box, for weights that find what is bright."""

from __future__ import annotations

import csv

import numpy as np
from ct_rate_files import save

MM = 4.0
# Boxes in voxels of the chest's RAS grid, three patches wide, by the side of the patient they are in.
BOXES = {"left": ((26, 24, 36), (38, 36, 48)), "right": ((62, 24, 36), (74, 36, 48))}
AFFINE = np.diag([MM, MM, MM, 1.0])


def with_box(chest, side):
    """The chest with the box of a side filled with bone, and the mask of that box."""
    mask = np.zeros(chest.shape, np.uint8)
    mask[tuple(map(slice, *BOXES[side]))] = 1
    return np.where(mask > 0, 1000, chest).astype(np.int16), mask


def write_table(folder, chest, rows):
    """Scans, masks and the table; `rows` are (patient, side of the box, sentence)."""
    with (folder / "asked.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["scan", "sentence", "mask", "patient", "kind"])
        table.writeheader()
        for patient, side, sentence in rows:
            scan, mask = folder / f"{patient}.nii.gz", folder / f"{patient}-mask.nii.gz"
            image, inside = with_box(chest, side)
            save(scan, image, AFFINE)
            save(mask, inside, AFFINE)
            table.writerow(
                {"scan": scan.name, "mask": mask.name, "sentence": sentence, "patient": patient, "kind": "mass"}
            )
    return folder / "asked.csv"
