"""The contract of `simcrop demo` (docs/schema/demo.json)."""

from __future__ import annotations

from dataclasses import dataclass

from simcrop_core.results import Evidence, GroundResult, SegmentResult

DEMO_SCHEMA = "simcrop.demo/1"


@dataclass(frozen=True, slots=True)
class DemoPeak:
    """How far one demo sentence's peak is from what it speaks of.

    Attributes:
        text: the sentence.
        target: the structure, or None where nothing should be found.
        evidence: as in the grounding result.
        distance_mm: from the peak to the nearest voxel of the structure; 0 inside it.
        lung_centre_mm: the same from the middle of the lungs: a guess that reads no sentence.
    """

    text: str
    target: str | None
    evidence: Evidence | None
    distance_mm: float | None
    lung_centre_mm: float | None


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What `simcrop demo --json` prints.

    Attributes:
        scan: its name.
        synthetic: it was drawn, not scanned.
        grounding: as of `simcrop ground`.
        segmentation: as of `simcrop segment --task chest`.
        peaks: a row a sentence.
        dice: label to Dice against the scan's labels, of the weights ("simcrop") and of the threshold ("threshold").
        attribution: whose scan it is, and under which terms.
        page: path of the page with every picture.
        seconds: from reading the scan to the written page.
    """

    scan: str
    synthetic: bool
    grounding: GroundResult
    segmentation: SegmentResult
    peaks: list[DemoPeak]
    dice: dict[str, dict[str, float]]
    attribution: str
    page: str
    seconds: float
    schema: str = DEMO_SCHEMA
