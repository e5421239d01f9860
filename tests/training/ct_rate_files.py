"""A folder in CT-RATE's form, made by hand: tables as the set publishes them, scans empty or real."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np

# As published; the order matters to nobody who reads columns by name.
METADATA = """
VolumeName Manufacturer SeriesDescription ManufacturerModelName PatientSex PatientAge ReconstructionDiameter
DistanceSourceToDetector DistanceSourceToPatient GantryDetectorTilt TableHeight RotationDirection ExposureTime
XRayTubeCurrent Exposure FilterType GeneratorPower FocalSpots ConvolutionKernel PatientPosition RevolutionTime
SingleCollimationWidth TotalCollimationWidth TableSpeed TableFeedPerRotation SpiralPitchFactor
DataCollectionCenterPatient ReconstructionTargetCenterPatient ExposureModulationType CTDIvol ImagePositionPatient
ImageOrientationPatient SliceLocation SamplesPerPixel PhotometricInterpretation Rows Columns XYSpacing
RescaleIntercept RescaleSlope RescaleType NumberofSlices ZSpacing StudyDate
""".split()  # noqa: SIM905
REPORTS = ["VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN"]
# Written out from the set's own header, not taken from the package.
LABELS = [
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
]


class CtRateFolder:
    """Scans are added one by one; `write` makes the tables."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.top = folder, folder / "dataset"
        self.reports: list[dict[str, str]] = []
        self.metadata: list[dict[str, str]] = []
        self.labels: list[dict[str, str]] = []

    def scan(self, name: str, *, release: int = 2, flat_study: bool = False, findings: str = "Lungs are clear.",
             impression: str = "Not given.", labels: tuple[str, ...] = (), file: bool = True,
             **metadata: str) -> Path:  # fmt: skip
        """One row in every table, and an empty file unless told otherwise; returns the file's path."""
        split, patient, letter, _ = name.split("_")
        study = f"{split}_{patient}{letter}" if flat_study else f"{split}_{patient}_{letter}"
        path = self.top / f"{split}{'_fixed' if release == 2 else ''}" / f"{split}_{patient}" / study / f"{name}.nii.gz"
        if file:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        row = {"VolumeName": f"{name}.nii.gz"}
        self.reports.append(row | {"Findings_EN": findings, "Impressions_EN": impression})
        self.labels.append(row | {label: str(int(label in labels)) for label in LABELS})
        stated = {"XYSpacing": "[0.75, 0.75]", "ZSpacing": "1.5", "RescaleSlope": "1", "RescaleIntercept": "-1024"}
        self.metadata.append(row | stated | metadata)
        return path

    def write(self) -> Path:
        """Write the tables of both splits; returns the folder."""
        for split, long in (("train", "train"), ("valid", "validation")):
            self._table(f"radiology_text_reports/{long}_reports.csv", REPORTS, self.reports, split)
            self._table(f"metadata/{long}_metadata.csv", METADATA, self.metadata, split)
            self._table(
                f"multi_abnormality_labels/{split}_predicted_labels.csv", ["VolumeName", *LABELS], self.labels, split
            )
        return self.folder

    def _table(self, name: str, columns: list[str], rows: list[dict[str, str]], split: str) -> None:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(row for row in rows if row["VolumeName"].startswith(f"{split}_"))


def save_lps(path: Path, image_ras: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
    """Write voxels given along RAS axes as release 2 does: along LPS, qform and sform alike."""
    voxels = image_ras[::-1, ::-1]
    affine = np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])
    save(path, voxels, affine)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI whose two statements of geometry agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    nibabel.save(image, path)
