"""Everything `ground` writes, in one folder: heatmaps, figures, the JSON, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simcrop_core.export.figure import write_figure
from simcrop_core.export.html import write_report_page
from simcrop_core.export.json import write_json
from simcrop_core.export.nifti import write_heatmap
from simcrop_core.export.provenance import facts_of, with_parameters
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import GroundResult, SegmentResult


def write_grounding(
    folder: Path,
    volume: Volume,
    result: GroundResult,
    heatmaps: Sequence[Heatmap | None],
    scale: ColourScale,
    *,
    full_resolution: bool = False,
    draw_absent: bool = False,
    segmentation: SegmentResult | None = None,
    attribution: str = "",
    job: Job | None = None,
) -> GroundResult:
    """Write `NN-heatmap.nii.gz` and `NN-figure.png` a sentence, `ground.json` and `report.html`.

    Args:
        folder: made if it is not there; files of these names are replaced, each as a whole.
        volume: the CT.
        result: of the sentences.
        heatmaps: one a sentence, None where it has no place.
        scale: of the weights.
        full_resolution: heatmaps on the scan's grid.
        draw_absent: draw sentences, too, that say something is absent or normal.
        segmentation: shown on the page where there is one.
        attribution: of the scan, shown on the page.
        job: told after every sentence.

    Returns:
        The result with the names of the heatmap files, relative to the folder, in it.

    Raises:
        CannotWrite: the folder or a file cannot be written.
    """
    job = job or Job()
    result = with_parameters(result, full_resolution=full_resolution, draw_absent=draw_absent)
    facts = facts_of(result)
    sentences = []
    for number, (sentence, heatmap) in enumerate(zip(result.sentences, heatmaps, strict=True), start=1):
        job.step("Writing results", number - 1, len(heatmaps) + 1)
        if heatmap is not None:
            name = f"{number:02d}-heatmap.nii.gz"
            write_heatmap(folder / name, heatmap, volume, full_resolution=full_resolution, facts=facts, job=job)
            sentence = replace(sentence, heatmap=name)
        picture = folder / f"{number:02d}-figure.png"
        write_figure(picture, volume, heatmap, sentence, scale, draw_absent=draw_absent, facts=facts)
        sentences.append(sentence)
    job.step("Writing results", len(heatmaps), len(heatmaps) + 1)
    _remove_leftovers(folder, len(sentences))
    written = replace(result, sentences=sentences)
    write_json(folder / "ground.json", written)
    write_report_page(
        folder / "report.html",
        volume,
        written,
        heatmaps,
        scale,
        segmentation=segmentation,
        attribution=attribution,
        draw_absent=draw_absent,
        job=job,
    )
    job.step("Writing results", len(heatmaps) + 1, len(heatmaps) + 1)
    return written


def _remove_leftovers(folder: Path, sentences: int) -> None:
    """Delete an earlier run's files of sentences that this run does not have."""
    for kind in ("heatmap.nii.gz", "figure.png"):
        for path in folder.glob(f"[0-9][0-9]-{kind}"):
            if int(path.name[:2]) > sentences:
                path.unlink()
