"""Label maps as DICOM Segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import UID
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept

from simcrop_core.errors import CannotWrite
from simcrop_core.export.atomic import replacing
from simcrop_core.export.dicom.codes import coded
from simcrop_core.export.dicom.maker import algorithm, made_by
from simcrop_core.export.dicom.planes import frames_of, planes_of
from simcrop_core.export.dicom.settled import settle
from simcrop_core.imaging.dicom.source import SourceSeries
from simcrop_core.inference.segmentation import Labelmap
from simcrop_core.results import WeightsInfo

_KIND = 1


def write_segmentation(path: Path, labels: Labelmap, source: SourceSeries, weights: WeightsInfo) -> None:
    """Write a label map as one SEG object, a binary segment for each label that has a voxel.

    Binary segments, because few archives and viewers read label maps (Supplement 243) yet.

    Args:
        path: of the file.
        labels: on the grid of the series.
        source: the series; its images are named as the source of each frame.
        weights: that the labels come from.

    Raises:
        CannotWrite: no voxel has a label, which DICOM cannot say, or the file cannot be written.
    """
    present = [value for value in labels.names if (labels.voxels == value).any()]
    if not present:
        raise CannotWrite(
            "No voxel has a label, and a DICOM segmentation cannot be empty.",
            hint="Write .nii.gz to have the empty label map.",
        )
    frames = frames_of(labels.voxels)
    segments = [_described(number, labels.names[value], weights) for number, value in enumerate(present, start=1)]
    stacked = np.stack([frames == value for value in present], axis=-1).astype(np.uint8)
    made = Segmentation(
        source_images=source.images,
        pixel_array=stacked,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        content_label="SEGMENTATION",
        **planes_of(labels.voxels.shape, labels.affine).keywords(),
        **made_by(weights, source_number=source.number, kind=_KIND),
    )
    settle(made, refers_to=source.images)
    with replacing(path) as temporary:
        made.save_as(temporary)


def _described(number: int, label: str, weights: WeightsInfo) -> SegmentDescription:
    codes = coded(label)
    described = SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.category,
        segmented_property_type=codes.type,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(weights),
        tracking_uid=UID(),
        tracking_id=label,
    )
    if codes.laterality is not None:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            CodedConcept.from_code(codes.laterality)
        ]
    return described
