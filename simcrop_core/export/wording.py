"""What a result says in words, and when it is not to be drawn: the same in figures and pages."""

from __future__ import annotations

from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.results import Evidence, ImageReference, Outcome, SentenceResult

SCALE_LABEL = "cosine similarity (not a probability)"
NOT_A_DIAGNOSIS = "Uncalibrated scores; not a diagnosis."

# A shape for each degree of evidence, so that none is told by colour alone.
MARKS: dict[Evidence, str] = {
    "located": "●",
    "weak": "◐",
    "not located": "○",
    "outside field of view": "◇",
    "not groundable": "–",
}

OUTCOME_MARKS: dict[Outcome, str] = {"pass": "✓", "repaired": "↻", "warned": "!", "refused": "✕"}

EVIDENCE_MEANING: dict[Evidence, str] = {
    "located": "The sentence fits the best part of the scan well, by the threshold of these weights.",
    "weak": "It fits less well: the place may be right, or not.",
    "not located": "No part of the scan fits it well. This does not mean that the finding is absent.",
    "outside field of view": "It speaks of a part of the body that the model did not see.",
    "not groundable": "A recommendation, a comparison or a remark on technique: there is no place to show.",
}


def why_not_drawn(
    sentence: SentenceResult, heatmap: Heatmap | None, scale: ColourScale, *, draw_absent: bool = False
) -> str | None:
    """Why nothing is shown for a sentence, in words for the reader; None where its heatmap is drawn.

    Args:
        sentence: the result.
        heatmap: its scores, where there are any.
        scale: of the weights.
        draw_absent: draw sentences too that say that something is absent or normal.
    """
    if sentence.evidence == "not groundable":
        return "Not groundable: the sentence names no place in the scan."
    if sentence.polarity == "negated" and not draw_absent:
        return "Negated: the sentence says that this is absent, so nothing is drawn."
    if sentence.polarity == "normal" and not draw_absent:
        return "Normal: the sentence reports no finding, so nothing is drawn."
    if sentence.evidence == "outside field of view":
        return "Outside the field of view: the model did not see that part of the body."
    if sentence.evidence == "not located":
        return "Not located: no part of the scan fits this sentence well."
    if heatmap is None or heatmap.scores.max() < scale.low:
        return "Nothing to draw: every score is below the threshold of these weights."
    return None


def score_words(sentence: SentenceResult) -> str:
    """Score and rank, such as "score 0.41, rank 12 of 500"; "" where there is none."""
    words = [] if sentence.score is None else [f"score {sentence.score:.2f}"]
    if sentence.rank is not None:
        words.append(f"rank {sentence.rank[0]} of {sentence.rank[1]}")
    return ", ".join(words)


def peak_words(sentence: SentenceResult) -> str:
    """Where the best patch is, such as "peak 56 L, 86 P, 116 I mm (± 12 mm)"; "" where there is none.

    Each number is a distance from the scanner's origin towards the left or right, front or back, head or feet.
    """
    if sentence.peak_ras_mm is None or sentence.peak_patch_mm is None:
        return ""
    letters = ("RL", "AP", "SI")
    place = ", ".join(
        f"{abs(mm):.0f} {pair[0] if mm >= 0 else pair[1]}"
        for mm, pair in zip(sentence.peak_ras_mm, letters, strict=True)
    )
    return f"peak {place} mm (± {max(sentence.peak_patch_mm) / 2:.0f} mm)"


def side_conflict_words(sentence: SentenceResult) -> str:
    """The warning that sentence and peak are on different sides; "" where they are not."""
    if not sentence.side_conflict:
        return ""
    other = {"left": "right", "right": "left"}.get(sentence.side or "", "other")
    return f"Side conflict: the sentence says {sentence.side}, the peak is on the {other}."


def sentence_facts(sentence: SentenceResult, *, placed: bool) -> list[tuple[str, str]]:
    """Everything else that a result says of a sentence, as (name, value).

    Args:
        sentence: the result.
        placed: whether its peak is shown, and so worth naming.
    """
    facts: list[tuple[str, str]] = [("Kind", sentence.kind), ("Polarity", sentence.polarity)]
    if sentence.side:
        facts.append(("Side", sentence.side))
    if sentence.lobe:
        facts.append(("Lobe", sentence.lobe))
    if sentence.reference:
        facts.append(("Refers to", _reference_words(sentence.reference)))
    if sentence.score is not None:
        facts.append(("Score (cosine)", f"{sentence.score:.3f}"))
    if sentence.rank:
        facts.append(("Rank among reference sentences", f"{sentence.rank[0]} of {sentence.rank[1]}"))
    if placed and sentence.peak_ras_mm and sentence.peak_patch_mm:
        facts.append(("Peak, RAS", f"{_triple(sentence.peak_ras_mm, '.1f')} mm"))
        facts.append(("Patch around the peak", f"{_triple(sentence.peak_patch_mm, '.0f', ' × ')} mm"))
    if placed and sentence.peak_ijk:
        facts.append(("Peak, voxel (from 0)", _triple(sentence.peak_ijk, "d")))
    return facts


def _reference_words(reference: ImageReference) -> str:
    name = f"image {reference.image}"
    if reference.series is not None:
        name = f"series {reference.series}, {name}"
    if reference.found is None:
        return f"{name} (the scan does not say which images it holds)"
    if not reference.found:
        return f"{name} (not in this scan)"
    return name if reference.distance_mm is None else f"{name}, {reference.distance_mm:.0f} mm from the peak"


def _triple(values: tuple[float, float, float], form: str, between: str = ", ") -> str:
    return between.join(f"{value:{form}}" for value in values)
