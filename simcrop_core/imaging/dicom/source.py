"""The headers of the series that a volume was read from: what objects made from it refer to."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from simcrop_core.errors import NotASingleVolume, UnreadableFile
from simcrop_core.imaging.dicom.read import read_stack
from simcrop_core.imaging.read import is_dicom
from simcrop_core.progress import Job

# Without these an object cannot say what it is about and where.
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
# Of the patient and the study: empty where the series does not say.
_IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
# All that is left of a series without identity: what it is, where its voxels lie, and by which UIDs it is found. A
# list of what may stay, since nobody knows all the places where a scanner or a clinic writes names.
_WITHOUT_IDENTITY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "Modality", "ImageType", "SeriesNumber", "InstanceNumber", "NumberOfFrames", "Rows",
    "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "SliceLocation",
)  # fmt: skip
_PLACES = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True, slots=True, eq=False)
class SourceSeries:
    """The headers of a series, without pixels.

    Attributes:
        images: one a slice in the order of the volume's third axis, or the one multi-frame object.
    """

    images: tuple[Dataset, ...]

    @property
    def number(self) -> int | None:
        """Series Number, or None where the series has none."""
        found = self.images[0].get("SeriesNumber")
        return None if found is None else int(found)

    def deidentified(self) -> SourceSeries:
        """Geometry, and the UIDs by which objects are found; nothing else of patient, study, scanner or clinic."""
        return SourceSeries(tuple(_without_identity(image) for image in self.images))


def _without_identity(image: Dataset) -> Dataset:
    left = _only(image, _WITHOUT_IDENTITY)
    for keyword in _GROUPS:
        if keyword in image:
            setattr(left, keyword, [_only(group, _PLACES) for group in image[keyword].value])
    for keyword in _IDENTIFYING:
        setattr(left, keyword, "")
    left.PatientIdentityRemoved = "YES"
    if hasattr(image, "file_meta"):
        left.file_meta = image.file_meta
    return left


def _only(dataset: Dataset, keywords: Sequence[str]) -> Dataset:
    """A copy with these attributes alone."""
    left = Dataset()
    for keyword in keywords:
        if keyword in dataset:
            left.add(copy.deepcopy(dataset[keyword]))
    return left


def read_source(path: Path, *, series: str | None = None, job: Job | None = None) -> SourceSeries:
    """The headers of the series that `open_dicom` finds at the same path.

    Args:
        path: a folder, .zip, or one file of the series.
        series: number or UID, where there are several.
        job: for progress and cancellation.

    Raises:
        UnreadableFile: it is no DICOM, or its headers lack what other objects refer to.
        NotASingleVolume: slices of several multi-frame objects.
        SimCroPError: as `open_dicom` does.
    """
    if not is_dicom(path):
        raise UnreadableFile(
            f"{path.name} is no DICOM series, so no DICOM object can refer to it.",
            hint="Give the folder or .zip of the series itself, or write another format.",
        )
    with read_stack(path, series, job or Job()) as (stack, _):
        files = list(dict.fromkeys(one.path for one in stack.slices))
        images = tuple(pydicom.dcmread(file, stop_before_pixels=True, force=True) for file in files)
        apart_mm = float(np.linalg.norm(stack.affine[:3, 2]))
    if len(images) not in (1, stack.shape[2]):
        raise NotASingleVolume(
            f"{stack.series.name} lies in {len(images)} multi-frame objects.",
            hint="Export it as one object, or slice by slice.",
        )
    lacking = sorted({keyword for image in images for keyword in _NEEDED if not image.get(keyword)})
    if lacking:
        raise UnreadableFile(
            f"{stack.series.name} lacks {', '.join(lacking)}, to which DICOM objects must refer.",
            hint="An anonymiser may have removed it. Export the series again, or write another format.",
        )
    for image in images:
        for keyword in _IDENTIFYING:
            if keyword not in image:
                setattr(image, keyword, "")
        if len(images) > 1 and not image.get("SliceThickness"):
            image.SliceThickness = round(apart_mm, 6)
    return SourceSeries(images)
