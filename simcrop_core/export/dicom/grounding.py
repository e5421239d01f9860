"""Everything that a grounding becomes in DICOM, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simcrop_core.export.dicom.attention import write_attention_regions
from simcrop_core.export.dicom.parametric_map import write_parametric_map
from simcrop_core.export.dicom.report import Shown, write_structured_report
from simcrop_core.export.wording import why_not_drawn
from simcrop_core.imaging.dicom.source import SourceSeries
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.progress import Job
from simcrop_core.results import GroundResult


def write_dicom_grounding(
    folder: Path,
    result: GroundResult,
    heatmaps: Sequence[Heatmap | None],
    scale: ColourScale,
    source: SourceSeries,
    *,
    job: Job | None = None,
) -> None:
    """Write `NN-map.dcm` a sentence that has a place, `regions.dcm` of those drawn, and `report.dcm` of all.

    Args:
        folder: made if it is not there; files of these names are replaced, each as a whole.
        result: of the sentences.
        heatmaps: one a sentence, None where it has no place.
        scale: of the weights.
        source: the series; de-identified if the objects are to be (`SourceSeries.deidentified`).
        job: told after every sentence.

    Raises:
        CannotWrite: the folder or a file cannot be written.
        Cancelled: through `job`; files already written are whole.
    """
    job = job or Job()
    maps, drawn = {}, {}
    for number, (said, heatmap) in enumerate(zip(result.sentences, heatmaps, strict=True), start=1):
        job.step("Writing DICOM", number - 1, len(heatmaps))
        if heatmap is None:
            continue
        path = folder / f"{number:02d}-map.dcm"
        maps[number] = write_parametric_map(path, heatmap, scale, source, result.weights, number=number)
        if why_not_drawn(said, heatmap, scale) is None:
            drawn[number] = heatmap
    regions = None
    if drawn:
        regions = write_attention_regions(folder / "regions.dcm", drawn, scale, source, result.weights)
    segments = {number: place for place, number in enumerate(drawn, start=1)}
    write_structured_report(folder / "report.dcm", result, Shown(maps, regions, segments), source)
    job.step("Writing DICOM", len(heatmaps), len(heatmaps))
