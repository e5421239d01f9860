"""The page of a scan: entries with their pictures, the checks and the weights, in a file that needs nothing else."""

from __future__ import annotations

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
from simcrop_core.export.provenance import facts_of
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
from simcrop_core.results import Evidence, FindingsResult, GroundResult, SegmentResult, SentenceResult


@dataclass(frozen=True, slots=True)
class Chip:
    """A short mark: its CSS class, its shape, its words."""

    kind: str
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One sentence or finding on the page; without a picture of its own it shows the plain planes."""

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


@dataclass(frozen=True, slots=True)
class PageWords:
    """What a page calls itself and its list: after the scan's name, below it, above the list."""

    title: str
    tally: str
    heading: str
    introduction: Sequence[str]


def write_page(
    path: str | Path,
    result: GroundResult | FindingsResult,
    words: PageWords,
    entries: Sequence[Entry],
    plain: Picture | None,
    scale: ColourScale,
    *,
    segmentation: SegmentResult | None = None,
    attribution: str = "",
) -> None:
    """Fill the template and write it.

    Args:
        path: .html.
        result: for its facts about scan, weights and checks.
        words: what the page calls itself.
        entries: from `entries_of`.
        plain: the picture of all entries without one of their own.
        scale: of the weights.
        segmentation: adds a table of volumes.
        attribution: for the scan, printed at the foot.

    Raises:
        CannotWrite: the file cannot be written.
    """
    page = _template().render(
        result=result,
        words=words,
        scan_facts=_scan_facts(result),
        warnings=[*result.warnings, *(segmentation.warnings if segmentation else [])],
        entries=entries,
        plain=plain,
        legend=_legend(scale),
        scale=scale,
        scale_label=SCALE_LABEL,
        evidence_meanings=[(_evidence_chip(e), meaning) for e, meaning in EVIDENCE_MEANING.items()],
        outcome_marks=OUTCOME_MARKS,
        segmentation=segmentation,
        volumes=_volumes(segmentation),
        facts=facts_of(result),
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


def entries_of(
    volume: Volume,
    sentences: Sequence[SentenceResult],
    heatmaps: Sequence[Heatmap | None],
    scale: ColourScale,
    *,
    draw_absent: bool = False,
    job: Job,
) -> tuple[list[Entry], Picture | None]:
    """An entry a sentence, in order, the first with a heatmap open, and one picture for all those without."""
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


def _scan_facts(result: GroundResult | FindingsResult) -> list[tuple[str, str]]:
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
