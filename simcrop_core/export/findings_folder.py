"""Everything `findings` writes, in one folder: heatmaps, figures, the JSON, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simcrop_core.export.figure import write_figure
from simcrop_core.export.findings_page import write_findings_page
from simcrop_core.export.json import write_json
from simcrop_core.export.nifti import write_heatmap
from simcrop_core.export.provenance import facts_of, with_parameters
from simcrop_core.export.wording import why_not_drawn
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import FindingsResult, SentenceResult


def write_findings(
    folder: Path,
    volume: Volume,
    result: FindingsResult,
    sentences: Sequence[SentenceResult],
    heatmaps: Sequence[Heatmap],
    scale: ColourScale,
    *,
    full_resolution: bool = False,
    job: Job | None = None,
) -> FindingsResult:
    """Write `<label>-heatmap.nii.gz` a finding, `<label>-figure.png` of those drawn, `findings.json`, `findings.html`.

    A finding is drawn as its best sentence is, so never where that was not located; there, a figure from an earlier run
    is removed.

    Args:
        folder: made if it is not there; files of these names are replaced, each as a whole.
        volume: the CT.
        result: of the findings.
        sentences: the best sentence of each, in order.
        heatmaps: of these.
        scale: of the weights.
        full_resolution: heatmaps on the scan's grid.
        job: told after every finding.

    Returns:
        The result with the names of the heatmap files, relative to the folder, in it.

    Raises:
        CannotWrite: the folder or a file cannot be written.
        Cancelled: through `job`; files already written are whole.
    """
    job = job or Job()
    result = with_parameters(result, full_resolution=full_resolution)
    facts = facts_of(result)
    findings = []
    for done, (finding, sentence, heatmap) in enumerate(zip(result.findings, sentences, heatmaps, strict=True)):
        job.step("Writing results", done, len(sentences) + 1)
        slug = finding.label.lower().replace(" ", "-")
        name = f"{slug}-heatmap.nii.gz"
        write_heatmap(folder / name, heatmap, volume, full_resolution=full_resolution, facts=facts, job=job)
        figure_path = folder / f"{slug}-figure.png"
        if why_not_drawn(sentence, heatmap, scale) is None:
            write_figure(figure_path, volume, heatmap, sentence, scale, facts=facts)
        else:
            figure_path.unlink(missing_ok=True)
        findings.append(replace(finding, heatmap=name))
    job.step("Writing results", len(sentences), len(sentences) + 1)
    written = replace(result, findings=findings)
    write_json(folder / "findings.json", written)
    write_findings_page(folder / "findings.html", volume, written, sentences, heatmaps, scale, job=job)
    job.step("Writing results", len(sentences) + 1, len(sentences) + 1)
    return written
