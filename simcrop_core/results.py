"""The contract: what every command and front end gives back, versioned.

The JSON forms are described in docs/results.md and, for machines, in docs/schema/.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

GROUND_SCHEMA = "simcrop.ground/1"
AT_SCHEMA = "simcrop.at/1"
FINDINGS_SCHEMA = "simcrop.findings/1"
SEGMENT_SCHEMA = "simcrop.segment/1"
INFO_SCHEMA = "simcrop.info/1"
CHECK_SCHEMA = "simcrop.check/1"

Polarity = Literal["positive", "negated", "uncertain", "normal"]
Kind = Literal["finding", "comparison", "recommendation", "technique"]
Side = Literal["left", "right", "bilateral"]
Lobe = Literal[
    "left upper lobe",
    "lingula",
    "left lower lobe",
    "right upper lobe",
    "right middle lobe",
    "right lower lobe",
    "upper lobe",
    "lower lobe",
]
Evidence = Literal["located", "weak", "not located", "outside field of view", "not groundable"]
FindingsScoredBy = Literal["reference sentences"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Outcome = Literal["pass", "repaired", "warned", "refused"]


@dataclass(frozen=True, slots=True)
class PassportFinding:
    """One header check: its code, what came of it, plain words, and what to do."""

    code: str
    outcome: Outcome
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """Which volume the result is about, without anything that names a patient.

    Attributes:
        name: the file's or series' name.
        shape: voxels along x, y, z.
        spacing_mm: along x, y, z.
        orientation: nearest anatomical direction of the array axes ("LPS").
        affine: (4, 4) voxel → patient RAS, mm, row by row.
        frame: which volume of a 4D file, from 1, and how many it holds; None of any other.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    affine: list[list[float]]
    frame: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """Which weights gave the result: name, sha256 of the file, licence, and what they were trained on."""

    name: str
    sha256: str
    licence: str
    trained_on: str


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What a result was made from and by; together with the weights enough to make the same bytes again.

    Attributes:
        scan_sha256: of voxels, affine, shape and type, as the checks left them. No name and no header goes into it.
        versions: "simcrop" and "torch" → version, and "openvino" where it encoded the scan.
        device: "cpu", "cuda" or "mps".
        precision: number format of the networks, "bfloat16" or "float32".
        parameters: option → value, of those that change the result or its files.
    """

    scan_sha256: str
    versions: dict[str, str]
    device: str
    precision: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """What of the patient the model saw: the covered box, [low, high] corners in RAS mm, and in how many tiles."""

    box_ras_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    tiles: int


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image that a sentence names, "(series 4, image 112)", and with DICOM input how far the peak is from it.

    Attributes:
        series: the series number, or None where the sentence gives only an image.
        image: the instance number.
        found: whether that image is in this volume; None where the volume did not come from DICOM.
        distance_mm: from the peak to the plane of that image; None unless found.
    """

    series: int | None
    image: int
    found: bool | None = None
    distance_mm: float | None = None


@dataclass(frozen=True, slots=True)
class SentenceResult:
    """Where one sentence is in the scan.

    Attributes:
        text: the sentence.
        polarity: positive, negated, uncertain or normal.
        kind: finding, comparison, recommendation or technique.
        side: named in the sentence.
        lobe: named in the sentence.
        score: cosine of the sentence with the mean of its top-K patches; None where not groundable.
        excess: by how much the sentence measures above what is usual for it on chests in general, moved to this scan,
            in score or in prominence (docs/methods/grounding.md), as the weights say; the score of a sentence that
            names no finding, where they judge these by it.
        rank: (place, out of): its place among the reference sentences on the same scan, by the excess; 1 is best.
        evidence: what that excess means for these weights; None where they carry no thresholds. Never a verdict.
        peak_ras_mm: where the map is highest, in the best patch (`inference.peak`).
        peak_ijk: the same, as the nearest voxel of the input volume.
        peak_patch_mm: edge lengths of a patch: the peak is no finer than such a box.
        side_conflict: the sentence names one side and the peak is on the other.
        heatmap: path of the heatmap file, where one was written.
        reference: an image the sentence refers to.
    """

    text: str
    polarity: Polarity
    kind: Kind
    side: Side | None
    lobe: Lobe | None
    score: float | None
    rank: tuple[int, int] | None
    evidence: Evidence | None
    peak_ras_mm: tuple[float, float, float] | None
    peak_ijk: tuple[int, int, int] | None
    peak_patch_mm: tuple[float, float, float] | None
    side_conflict: bool
    excess: float | None = None
    heatmap: str | None = None
    reference: ImageReference | None = None


@dataclass(frozen=True, slots=True)
class GroundResult:
    """What `simcrop ground --json` prints."""

    volume: VolumeInfo
    weights: WeightsInfo
    frame: FrameInfo
    sentences: list[SentenceResult]
    made_by: MadeBy
    passport: list[PassportFinding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema: str = GROUND_SCHEMA


@dataclass(frozen=True, slots=True)
class SentenceAt:
    """How one sentence fits the place at a point. Never a verdict.

    Attributes:
        sentence: its place, from 0, among the sentences asked.
        text: the sentence.
        similarity: cosine of the sentence with the patch at the point.
        share_below: share of the scan's patches that fit the sentence less than this one, 0 to 1.
        peak: whether this patch is the sentence's best.
    """

    sentence: int
    text: str
    similarity: float
    share_below: float
    peak: bool


@dataclass(frozen=True, slots=True)
class AtResult:
    """Sentences ranked for a point (docs/serve.md).

    Attributes:
        point_ras_mm: the point asked for.
        patch_ras_mm: centre of the patch that holds it; None where the model saw no scan there.
        patch_mm: edge lengths of a patch.
        sentences: those that are about a place, best first: by `share_below`, then by `similarity`.
    """

    point_ras_mm: tuple[float, float, float]
    patch_ras_mm: tuple[float, float, float] | None
    patch_mm: tuple[float, float, float]
    sentences: list[SentenceAt]
    schema: str = AT_SCHEMA


@dataclass(frozen=True, slots=True)
class FindingScore:
    """How well one scan fits one finding. An uncalibrated score, neither a probability nor a verdict.

    Attributes:
        label: the finding, in CT-RATE's spelling.
        score: what `FindingsResult.scored_by` says; higher speaks for the finding.
        evidence: of the score, by the label's own thresholds, or of `sentence` where the weights have none for labels;
            None where they carry none at all.
        sentence: the finding's sentence that fits the scan best; None, as its place, where no sentence made the score.
        side: named in that sentence.
        side_conflict: that sentence names one side and the peak is on the other.
        peak_ras_mm: of that sentence, as in `SentenceResult`.
        peak_ijk: the same, as the nearest voxel of the input volume.
        peak_patch_mm: edge lengths of a patch: the peak is no finer than such a box.
        heatmap: path of that sentence's heatmap file, where one was written.
    """

    label: str
    score: float
    evidence: Evidence | None
    sentence: str | None
    side: Side | None
    side_conflict: bool
    peak_ras_mm: tuple[float, float, float] | None
    peak_ijk: tuple[int, int, int] | None
    peak_patch_mm: tuple[float, float, float] | None
    heatmap: str | None = None


@dataclass(frozen=True, slots=True)
class FindingsResult:
    """What `simcrop findings --json` prints.

    Attributes:
        findings: one a label, in CT-RATE's order.
        scored_by: how the weights score: "reference sentences" is the difference of two cosines (docs/findings.md).
    """

    volume: VolumeInfo
    weights: WeightsInfo
    frame: FrameInfo
    findings: list[FindingScore]
    scored_by: FindingsScoredBy
    made_by: MadeBy
    passport: list[PassportFinding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema: str = FINDINGS_SCHEMA


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """What `simcrop segment --json` prints: the label map's path, its labels, and their volumes."""

    output: str
    labels: dict[str, str]
    volume_ml: dict[str, float]
    volume: VolumeInfo
    weights: WeightsInfo
    made_by: MadeBy
    passport: list[PassportFinding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema: str = SEGMENT_SCHEMA


@dataclass(frozen=True, slots=True)
class InfoResult:
    """What `simcrop info --json` prints.

    Attributes:
        volume: the volume's name and grid.
        header: facts from the file as short text (format, data type), never a patient's data.
        field_of_view_mm: edge lengths of the scanned box along x, y, z.
        hu_percentiles: percentile ("0", "1", "50", …, "100") → HU.
        lungs_box_ras_mm: [low, high] corners of the lungs by a quick threshold estimate; None where none were found.
    """

    volume: VolumeInfo
    header: dict[str, str]
    field_of_view_mm: tuple[float, float, float]
    hu_percentiles: dict[str, float]
    lungs_box_ras_mm: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    passport: list[PassportFinding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema: str = INFO_SCHEMA


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `simcrop check --json` prints.

    Attributes:
        name: of the file, folder or series.
        volume: its grid; None where there is none.
        outcome: the worst of `passport`.
        passport: every check, in order; a refusal is the last.
    """

    name: str
    volume: VolumeInfo | None
    outcome: Outcome
    passport: list[PassportFinding]
    schema: str = CHECK_SCHEMA


def as_json(result: Any) -> dict[str, Any]:
    """A result as plain JSON types, `schema` first."""
    fields: dict[str, Any] = dataclasses.asdict(result)
    return {"schema": fields.pop("schema"), **fields}
