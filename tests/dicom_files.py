"""DICOM series written file by file, as right or as wrong as a test wants them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Doe^Jane"


@dataclass
class Series:
    """A chest-sized series of few voxels, whose stored value tells column, row and slice."""

    number: int | None = 4
    description: str = "CHEST 1.25"
    slices: int = 12
    columns: int = 20
    rows: int = 16
    pixel_mm: tuple[float, float] = (12.0, 14.0)  # between rows, between columns
    step_mm: float = 5.0
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    origin: tuple[float, float, float] = (-120.0, -110.0, -300.0)
    slant_mm: float = 0.0  # along y a slice: a tilted gantry
    slope: float = 1.0
    intercept: float = -1024.0
    modality: str = "CT"
    sop_class: str = CTImageStorage
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")

    def __post_init__(self):
        self.uid, self.study_uid, self.frame_uid = generate_uid(), generate_uid(), generate_uid()
        row, column = np.array(self.orientation[:3], float), np.array(self.orientation[3:], float)
        self.normal = np.cross(row, column)

    def position(self, k):
        return np.array(self.origin) + self.normal * self.step_mm * k + np.array([0, self.slant_mm * k, 0])

    def stored(self, k):
        """(rows, columns) uint16: 100 · slice + 20 · row + column."""
        return (100 * k + 20 * np.arange(self.rows)[:, None] + np.arange(self.columns)).astype(np.uint16)

    def dataset(self, k, **changes):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self.sop_class
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = Dataset()
        ds.file_meta = meta
        ds.SOPClassUID = self.sop_class
        ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        ds.PatientName = PATIENT
        ds.PatientID = "12345"
        ds.Modality = self.modality
        ds.ImageType = list(self.image_type)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = self.study_uid, self.uid, self.frame_uid
        ds.SeriesNumber = self.number
        ds.SeriesDescription = self.description
        ds.InstanceNumber = self.slices - k
        ds.ImageOrientationPatient = [float(x) for x in self.orientation]
        ds.ImagePositionPatient = [float(x) for x in self.position(k)]
        ds.PixelSpacing = list(self.pixel_mm)
        ds.Rows, ds.Columns = self.rows, self.columns
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        ds.RescaleSlope, ds.RescaleIntercept = self.slope, self.intercept
        ds.PixelData = self.stored(k).tobytes()
        for keyword, value in changes.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        return ds

    def write(self, folder, *, leave_out=(), names=None):
        """Write the series below `folder`, by default under names that say nothing of the order."""
        folder.mkdir(parents=True, exist_ok=True)
        order = np.random.default_rng(0).permutation(self.slices)
        for k in range(self.slices):
            if k not in leave_out:
                name = names(k) if names else f"IM{order[k]:04d}"
                save(self.dataset(k), folder / name)
        return folder


def save(dataset, path):
    dataset.save_as(path, enforce_file_format=True)
    return path


def _sequence(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def enhanced(series, order, slopes=None):
    """One object with the series' slices as frames, in the given order."""
    ds = series.dataset(0, SOPClassUID=EnhancedCTImageStorage, ImagePositionPatient=None, ImageOrientationPatient=None)
    ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    del ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept
    ds.NumberOfFrames = len(order)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = _sequence(ImageOrientationPatient=list(series.orientation))
    shared.PixelMeasuresSequence = _sequence(PixelSpacing=list(series.pixel_mm), SliceThickness=series.step_mm)
    for index, k in enumerate(order):
        frame = Dataset()
        frame.PlanePositionSequence = _sequence(ImagePositionPatient=list(series.position(k)))
        slope = series.slope if slopes is None else slopes[index]
        frame.PixelValueTransformationSequence = _sequence(
            RescaleSlope=slope, RescaleIntercept=series.intercept, RescaleType="HU"
        )
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = b"".join(series.stored(k).tobytes() for k in order)
    return ds
