"""A whole report as one page: every sentence and its picture, in a file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from simcrop_core import __version__
from simcrop_core.export.atomic import replacing
from simcrop_core.export.figure import figure
from simcrop_core.export.overlay import tinted
from simcrop_core.export.pictures import Picture, embedded, embedded_pixels
from simcrop_core.export.wording import (
    EVIDENCE_MEANING,
    MARKS,
    OUTCOME_MARKS,
    SCALE_LABEL,
    score_words,
    sentence_facts,
    side_conflict_words,
    why_not_drawn,
)
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import Evidence, GroundResult, SegmentResult, SentenceResult


@dataclass(frozen=True, slots=True)
class Chip:
    """A short mark: its CSS class, its shape, its words."""

    kind: str
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One sentence on the page; without a picture of its own it shows the plain planes."""

    text: str
    score: str
    chips: list[Chip]
    conflict: str
    silence: str | None
    facts: list[tuple[str, str]]
    picture: Picture | None
    alt: str
    absent: bool
    open: bool


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
    entries, plain = _entries(volume, result.sentences, heatmaps, scale, draw_absent, job or Job())
    page = _template().render(
        result=result,
        tally=_tally(result.sentences),
        scan_facts=_scan_facts(result),
        warnings=[*result.warnings, *(segmentation.warnings if segmentation else [])],
        entries=entries,
        plain=plain,
        legend=_legend(scale),
        scale=scale,
        scale_label=SCALE_LABEL,
        evidence_meanings=[(_evidence_chip(e), words) for e, words in EVIDENCE_MEANING.items()],
        outcome_marks=OUTCOME_MARKS,
        segmentation=segmentation,
        volumes=_volumes(segmentation),
        version=__version__,
        attribution=attribution,
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def _template() -> Template:
    loader = PackageLoader("simcrop_core.export")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")


def _entries(
    volume: Volume,
    sentences: Sequence[SentenceResult],
    heatmaps: Sequence[Heatmap | None],
    scale: ColourScale,
    draw_absent: bool,
    job: Job,
) -> tuple[list[Entry], Picture | None]:
    """The sentences in order, the first with a heatmap open, and one picture for all those without."""
    entries: list[Entry] = []
    silent: list[tuple[SentenceResult, Heatmap | None]] = []
    for n, (sentence, heatmap) in enumerate(zip(sentences, heatmaps, strict=True)):
        job.step("Drawing the report", n, len(sentences))
        silence = why_not_drawn(sentence, heatmap, scale, draw_absent=draw_absent)
        picture = None
        if silence is None:
            picture = embedded(figure(volume, heatmap, sentence, scale, titled=False, draw_absent=draw_absent))
        else:
            silent.append((sentence, heatmap))
        first = picture is not None and len(silent) == n  # all before it are silent
        entries.append(_entry(sentence, silence, picture, first))
    if not silent:
        return entries, None
    # One that has a heatmap, if any: it frames the planes as those of the other sentences are.
    sentence, heatmap = min(silent, key=lambda pair: pair[1] is None)
    return entries, embedded(figure(volume, heatmap, sentence, scale, titled=False, draw_absent=draw_absent))


def _entry(sentence: SentenceResult, silence: str | None, picture: Picture | None, first: bool) -> Entry:
    absent = sentence.polarity in ("negated", "normal")
    conflict = sentence.side_conflict and silence is None
    chips = [_evidence_chip(sentence.evidence)] if sentence.evidence else []
    if absent:
        chips = [Chip("absent", "¬" if sentence.polarity == "negated" else "=", sentence.polarity)]
    if conflict:
        chips.append(Chip("conflict", "▲", "side conflict"))
    what = "with the heatmap, cut at its peak" if picture else "with nothing drawn, cut through the middle"
    return Entry(
        text=sentence.text,
        score="" if absent else score_words(sentence),
        chips=chips,
        conflict=side_conflict_words(sentence) if conflict else "",
        silence=silence,
        facts=sentence_facts(sentence, placed=silence is None),
        picture=picture,
        alt=f"Axial, coronal and sagittal CT planes {what}: {sentence.text}",
        absent=absent,
        open=first,
    )


def _evidence_chip(evidence: Evidence) -> Chip:
    return Chip(evidence.replace(" ", "-"), MARKS[evidence], evidence)


def _tally(sentences: Sequence[SentenceResult]) -> str:
    """Such as "7 sentences: 3 located, 1 weak, 2 negated, 1 not groundable; 1 side conflict"."""
    ways = Counter(s.polarity if s.polarity in ("negated", "normal") else s.evidence or "drawn" for s in sentences)
    parts = ", ".join(f"{count} {way}" for way, count in ways.most_common())
    conflicts = sum(s.side_conflict for s in sentences)
    tail = f"; {_counted(conflicts, 'side conflict')}" if conflicts else ""
    return f"{_counted(len(sentences), 'sentence')}: {parts}{tail}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _scan_facts(result: GroundResult) -> list[tuple[str, str]]:
    """The scan, what the model saw of it, and which weights looked."""
    volume, weights = result.volume, result.weights
    low, high = result.frame.box_ras_mm
    seen = " × ".join(f"{b - a:.0f}" for a, b in zip(low, high, strict=True))
    tiles = "" if result.frame.tiles == 1 else f" in {result.frame.tiles} tiles"
    return [
        ("Voxels", " × ".join(str(n) for n in volume.shape)),
        ("Spacing", " × ".join(f"{mm:.2f}" for mm in volume.spacing_mm) + " mm"),
        ("Orientation", volume.orientation),
        ("Seen by the model", f"{seen} mm{tiles}"),
        ("Weights", f"{weights.name} (sha256 {weights.sha256[:12]})"),
        ("Licence of the weights", weights.licence),
        ("Trained on", weights.trained_on),
    ]


def _volumes(segmentation: SegmentResult | None) -> list[tuple[str, str]]:
    return [] if segmentation is None else [(name, f"{ml:,.0f} mL") for name, ml in segmentation.volume_ml.items()]


def _legend(scale: ColourScale) -> str:
    """The scale from left to right, over dark CT above and white CT below."""
    grey, scores = np.meshgrid(np.linspace(0.2, 1, 20), np.linspace(scale.low, scale.high, 256), indexing="ij")
    return embedded_pixels(tinted(grey.astype(np.float32), scores.astype(np.float32), scale))
