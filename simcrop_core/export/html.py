"""A whole report as one page: every sentence and its picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from simcrop_core.export.page import PageWords, entries_of, write_page
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import GroundResult, SegmentResult, SentenceResult


def write_report_page(
    path: str | Path,
    volume: Volume,
    result: GroundResult,
    heatmaps: Sequence[Heatmap | None],
    scale: ColourScale,
    *,
    segmentation: SegmentResult | None = None,
    attribution: str = "",
    draw_absent: bool = False,
    job: Job | None = None,
) -> None:
    """Write a report's sentences with their figures as one HTML file.

    The page asks the network for nothing and runs no script; everything that comes from the report or the scan is
    escaped. Twenty sentences make about 3 MB.

    Args:
        path: .html.
        volume: the CT.
        result: its grounded sentences.
        heatmaps: one for each sentence, in order; None where it has none.
        scale: of the weights.
        segmentation: adds a table of volumes.
        attribution: for the scan, printed at the foot.
        draw_absent: draw sentences too that say that something is absent or normal.
        job: told of every figure.

    Raises:
        CannotWrite: the file cannot be written.
        Cancelled: the job was cancelled; nothing is left behind.
    """
    entries, plain = entries_of(volume, result.sentences, heatmaps, scale, draw_absent=draw_absent, job=job or Job())
    words = PageWords(
        title="where the sentences are",
        tally=_tally(result.sentences),
        heading="Report",
        introduction=["Open a sentence to see where it is."],
    )
    write_page(path, result, words, entries, plain, scale, segmentation=segmentation, attribution=attribution)


def _tally(sentences: Sequence[SentenceResult]) -> str:
    """Such as "7 sentences: 3 located, 1 weak, 2 negated, 1 not groundable; 1 side conflict"."""
    ways = Counter(s.polarity if s.polarity in ("negated", "normal") else s.evidence or "drawn" for s in sentences)
    parts = ", ".join(f"{count} {way}" for way, count in ways.most_common())
    conflicts = sum(s.side_conflict for s in sentences)
    tail = f"; {_counted(conflicts, 'side conflict')}" if conflicts else ""
    return f"{_counted(len(sentences), 'sentence')}: {parts}{tail}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
