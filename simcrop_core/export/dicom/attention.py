"""Where the heatmaps are drawn, as segments that are called attention regions and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from highdicom import UID
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription

from simcrop_core.export.atomic import replacing
from simcrop_core.export.dicom.codes import ATTENTION_REGION, SPATIAL_CONCEPT
from simcrop_core.export.dicom.maker import algorithm, made_by
from simcrop_core.export.dicom.planes import frames_of, planes_of
from simcrop_core.export.dicom.settled import settle
from simcrop_core.imaging.dicom.source import SourceSeries
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.results import WeightsInfo

_KIND = 3


def write_attention_regions(
    path: Path, heatmaps: Mapping[int, Heatmap], scale: ColourScale, source: SourceSeries, weights: WeightsInfo
) -> Segmentation:
    """Write one segment a drawn sentence: the patches whose score reaches the colour scale.

    Args:
        path: of the file.
        heatmaps: by the sentence's number, from 1; all on one grid, each with a patch that is drawn.
        scale: of the weights.
        source: the series, in whose frame of reference the patches are.
        weights: that the scores come from.

    Returns:
        The object, as written; its segments are in the order of `heatmaps`.

    Raises:
        CannotWrite: the file cannot be written, or SOURCE_DATE_EPOCH is no time.
    """
    first = next(iter(heatmaps.values()))
    drawn = np.stack([frames_of(heatmap.scores >= scale.low) for heatmap in heatmaps.values()], axis=-1)
    made = Segmentation(
        source_images=source.images,
        pixel_array=drawn.astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            SegmentDescription(
                segment_number=place,
                segment_label=f"Attention region of sentence {number}",
                segmented_property_category=SPATIAL_CONCEPT,
                segmented_property_type=ATTENTION_REGION,
                algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm(weights),
                tracking_uid=UID(),
                tracking_id=f"Sentence {number}",
            )
            for place, number in enumerate(heatmaps, start=1)
        ],
        content_label="ATTENTION",
        **planes_of(first.scores.shape, first.affine).keywords(),
        **made_by(weights, source_number=source.number, kind=_KIND),
    )
    settle(made, refers_to=source.images)
    with replacing(path) as temporary:
        made.save_as(temporary)
    return made
