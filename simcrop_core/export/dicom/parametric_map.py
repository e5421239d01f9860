"""Heatmaps as DICOM Parametric Map, on the coarse grid that is all the model knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from simcrop_core.export.atomic import replacing
from simcrop_core.export.dicom.codes import CHEST, SIMILARITY
from simcrop_core.export.dicom.maker import made_by
from simcrop_core.export.dicom.planes import frames_of, planes_of
from simcrop_core.export.dicom.settled import settle
from simcrop_core.imaging.dicom.source import SourceSeries
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.results import WeightsInfo

_KIND = 2


def write_parametric_map(
    path: Path, heatmap: Heatmap, scale: ColourScale, source: SourceSeries, weights: WeightsInfo, *, number: int
) -> ParametricMap:
    """Write one sentence's scores as 32-bit floats, a frame for each layer of patches.

    The sentence itself is in the structured report only: it is a patient's text.

    Args:
        path: of the file.
        heatmap: the scores.
        scale: of the weights; the window that viewers begin with.
        source: the series, in whose frame of reference the patches are.
        weights: that the scores come from.
        number: of the sentence, from 1.

    Returns:
        The object, as written.

    Raises:
        CannotWrite: the file cannot be written, or SOURCE_DATE_EPOCH is no time.
    """
    mapping = RealWorldValueMapping(
        lut_label="COSINE",
        lut_explanation=SIMILARITY.meaning,
        unit=codes.UCUM.NoUnits,
        value_range=(-1.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=SIMILARITY,
    )
    made = ParametricMap(
        source_images=source.images,
        pixel_array=frames_of(heatmap.scores).astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation((scale.low + scale.high) / 2, scale.high - scale.low)],
        content_label=f"SENTENCE_{number}",
        **planes_of(heatmap.scores.shape, heatmap.affine).keywords(),
        **made_by(weights, source_number=source.number, kind=_KIND) | {"instance_number": number},
    )
    # dcmqi, by which Slicer reads maps, ends where a map does not say of which part of the body it is.
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_chest()]
    _stack_along_normal(made)
    settle(made, refers_to=source.images)
    with replacing(path) as temporary:
        made.save_as(temporary)
    return made


def _chest() -> Dataset:
    """Frame Anatomy (PS3.3 C.7.6.16.2.8): the chest, which is no paired structure."""
    anatomy = Dataset()
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(CHEST)]
    return anatomy


def _stack_along_normal(made: ParametricMap) -> None:
    """Put the frames in the order of rows × columns.

    highdicom sorts them by the numbers of their positions, and every frame says where it is; but dcmqi does not look
    there and takes this order for granted, so that half of all maps would be upside down in Slicer.
    """
    orientation = made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    row, column = np.array(orientation, float).reshape(2, 3)
    frames = list(made.PerFrameFunctionalGroupsSequence)
    positions = [np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) for frame in frames]
    order = np.argsort([np.cross(row, column) @ position for position in positions])
    values = np.frombuffer(made.FloatPixelData, "<f4").reshape(len(frames), -1)
    made.FloatPixelData = values[order].tobytes()
    made.PerFrameFunctionalGroupsSequence = [frames[index] for index in order]
    for number, frame in enumerate(made.PerFrameFunctionalGroupsSequence, start=1):
        frame.FrameContentSequence[0].DimensionIndexValues = [number]
