"""Heatmaps as DICOM Parametric Map, on the coarse grid that is all the model knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.sr.codedict import codes

from simcrop_core.export.atomic import replacing
from simcrop_core.export.dicom.codes import SIMILARITY
from simcrop_core.export.dicom.maker import made_by
from simcrop_core.export.dicom.planes import frames_of, planes_of
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
        CannotWrite: the file cannot be written.
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
    with replacing(path) as temporary:
        made.save_as(temporary)
    return made
