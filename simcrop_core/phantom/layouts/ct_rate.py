"""CT-RATE, version 2: int16 HU in the patient's LPS axes, reports, labels and metadata in tables.

The folder:

    dataset/{train,valid}_fixed/train_7/train_7_a/train_7_a_1.nii.gz
    dataset/radiology_text_reports/{train,validation}_reports.csv
    dataset/multi_abnormality_labels/{train,valid}_predicted_labels.csv
    dataset/metadata/{train,validation}_metadata.csv
    dataset/ts_seg/ts_total/{train,valid}_fixed/…          label maps, in the folders and by the names of the scans
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from simcrop_core.export.nifti import write_labelmap, write_volume
from simcrop_core.phantom.layouts.drawn import organ_map
from simcrop_core.phantom.layouts.layout import Written
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import NOTICE, Settings, Split
from simcrop_core.phantom.layouts.tables import write_csv
from simcrop_core.phantom.truth import Phantom
from simcrop_core.text.ct_rate import CT_RATE_LABELS

REPORT_COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")
METADATA_COLUMNS = tuple(
    """VolumeName Manufacturer SeriesDescription ManufacturerModelName PatientSex PatientAge ReconstructionDiameter
    DistanceSourceToDetector DistanceSourceToPatient GantryDetectorTilt TableHeight RotationDirection ExposureTime
    XRayTubeCurrent Exposure FilterType GeneratorPower FocalSpots ConvolutionKernel PatientPosition RevolutionTime
    SingleCollimationWidth TotalCollimationWidth TableSpeed TableFeedPerRotation SpiralPitchFactor
    DataCollectionCenterPatient ReconstructionTargetCenterPatient ExposureModulationType CTDIvol ImagePositionPatient
    ImageOrientationPatient SliceLocation SamplesPerPixel PhotometricInterpretation Rows Columns XYSpacing
    RescaleIntercept RescaleSlope RescaleType NumberofSlices ZSpacing StudyDate""".split()  # noqa: SIM905
)
# The set's own files spell the held-out split in two ways.
_TABLE_NAMES: Mapping[Split, tuple[str, str]] = {"train": ("train", "train"), "valid": ("validation", "valid")}
# Our name of an organ, and TotalSegmentator v2's number and name of it. Its vertebrae are one spine here: left out.
_LABEL_MAP: Mapping[str, tuple[int, str]] = {
    "left upper lobe": (10, "lung_upper_lobe_left"),
    "left lower lobe": (11, "lung_lower_lobe_left"),
    "right upper lobe": (12, "lung_upper_lobe_right"),
    "right middle lobe": (13, "lung_middle_lobe_right"),
    "right lower lobe": (14, "lung_lower_lobe_right"),
    "trachea": (16, "trachea"),
    "heart": (51, "heart"),
    "aorta": (52, "aorta"),
    "oesophagus": (15, "esophagus"),
    "liver": (5, "liver"),
    "spleen": (1, "spleen"),
    "stomach": (6, "stomach"),
    "right kidney": (2, "kidney_right"),
    "left kidney": (3, "kidney_left"),
}


def scan_name(settings: Settings, seed: int) -> str:
    """Patient `seed`, scan "a", reconstruction 1."""
    return f"{settings.split(seed)}_{seed}_a_1"


def write_scan(folder: Path, scan: str, phantom: Phantom) -> Written:
    """Write the volume, LPS, qform and sform the same, and its label map on the same voxels.

    Raises:
        CannotWrite: a file cannot be written.
    """
    split, patient, letter, _ = scan.split("_")
    place = Path(f"{split}_fixed", f"{split}_{patient}", f"{split}_{patient}_{letter}", f"{scan}.nii.gz")
    image, labels = folder / "dataset" / place, folder / "dataset" / "ts_seg" / "ts_total" / place
    voxels, affine = oriented(phantom.image, phantom.affine, "LPS")
    write_volume(image, voxels, affine, description=NOTICE)
    organs = organ_map(phantom, {ours: number for ours, (number, _) in _LABEL_MAP.items()})
    names = {0: "background", **dict(_LABEL_MAP.values())}
    write_labelmap(labels, oriented(organs, phantom.affine, "LPS")[0], affine, names, description=NOTICE)
    return Written([image, labels])


def write_tables(folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:  # noqa: ARG001
    """Write reports, labels and metadata of both splits; a split without scans has its columns only.

    Raises:
        CannotWrite: a file cannot be written.
    """
    top = folder / "dataset"
    written = []
    for split, (long, short) in _TABLE_NAMES.items():
        of_split = [record for record in records if record.split == split]
        reports = top / "radiology_text_reports" / f"{long}_reports.csv"
        labels = top / "multi_abnormality_labels" / f"{short}_predicted_labels.csv"
        metadata = top / "metadata" / f"{long}_metadata.csv"
        write_csv(reports, REPORT_COLUMNS, map(_report_row, of_split))
        write_csv(labels, ("VolumeName", *CT_RATE_LABELS), map(_label_row, of_split))
        write_csv(metadata, METADATA_COLUMNS, map(_metadata_row, of_split))
        written += [reports, labels, metadata]
    return written


def _report_row(record: ScanRecord) -> dict[str, object]:
    report = record.report
    sections = (report.clinical_information, report.technique, report.findings, report.impression)
    return dict(zip(REPORT_COLUMNS, (f"{record.scan}.nii.gz", *sections), strict=True))


def _label_row(record: ScanRecord) -> dict[str, object]:
    return {"VolumeName": f"{record.scan}.nii.gz", **{label: int(label in record.present) for label in CT_RATE_LABELS}}


def _metadata_row(record: ScanRecord) -> dict[str, object]:
    """What a phantom does not have is left empty.

    The rescale is the one that the real table names, although version 2 holds HU already: a reader that applies it
    again goes as wrong here as it does there.
    """
    x_mm, y_mm, z_mm = record.spacing_mm
    right, front, up = (row[3] for row in record.affine[:3])
    return {
        "VolumeName": f"{record.scan}.nii.gz",
        "Manufacturer": "SimCroP phantom",
        "SeriesDescription": "SYNTHETIC",
        "ManufacturerModelName": f"synthetic, style {record.style}, seed {record.seed}",
        "PatientSex": record.person.sex,
        "PatientAge": f"{record.person.age:03d}Y",
        "PatientPosition": "HFS",
        "ImagePositionPatient": str([-right, -front, up]),
        "ImageOrientationPatient": str([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": record.shape[1],
        "Columns": record.shape[0],
        "XYSpacing": str([y_mm, x_mm]),
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "RescaleType": "HU",
        "NumberofSlices": record.shape[2],
        "ZSpacing": z_mm,
    }
