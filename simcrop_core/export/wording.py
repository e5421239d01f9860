"""What a result says in words, and when it is not to be drawn: the same in figures and pages."""

from __future__ import annotations

from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.results import Evidence, SentenceResult

SCALE_LABEL = "cosine similarity (not a probability)"

# A shape for each degree of evidence, so that none is told by colour alone.
MARKS: dict[Evidence, str] = {
    "located": "●",
    "weak": "◐",
    "not located": "○",
    "outside field of view": "◇",
    "not groundable": "–",
}

EVIDENCE_MEANING: dict[Evidence, str] = {
    "located": "The best patches match the sentence clearly better than most reference sentences match this scan.",
    "weak": "They match it, but many other sentences match about as well.",
    "not located": "No patch stands out for it. This does not mean that the finding is absent.",
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
    if sentence.evidence == "not groundable" or heatmap is None:
        return "Not groundable: the sentence names no place in the scan."
    if sentence.polarity == "negated" and not draw_absent:
        return "Negated: the sentence says that this is absent, so nothing is drawn."
    if sentence.polarity == "normal" and not draw_absent:
        return "Normal: the sentence reports no finding, so nothing is drawn."
    if sentence.evidence == "outside field of view":
        return "Outside the field of view: the model did not see that part of the body."
    if sentence.evidence == "not located":
        return "Not located: no part of the scan stands out for this sentence."
    if heatmap.scores.max() < scale.low:
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
