"""The findings of a scan as one page: every label with its score, and a picture of those that have a place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simcrop_core.export.page import Entry, PageWords, entries_of, write_page
from simcrop_core.export.wording import NOT_A_DIAGNOSIS
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import FindingScore, FindingsResult, SentenceResult

_WHAT_A_SCORE_IS = (
    "A score is how much better the best of a finding's sentences fits the scan than sentences that deny the finding. "
    "It compares scans for one finding, not findings with each other. The mark is the evidence: what "
    "the score means for these weights. It does not say that the finding is there."
)
# Facts of a sentence: left out where all best sentences share them, renamed beside the finding's own.
_SAME_FOR_ALL = ("Kind", "Polarity")
_OF_THE_SENTENCE = {
    "Score (cosine)": "Cosine of the sentence",
    "Rank among reference sentences": "Rank of the sentence",
}


def write_findings_page(
    path: str | Path,
    volume: Volume,
    result: FindingsResult,
    sentences: Sequence[SentenceResult],
    heatmaps: Sequence[Heatmap],
    scale: ColourScale,
    *,
    job: Job | None = None,
) -> None:
    """Write every finding with its score and the picture of its best sentence as one HTML file.

    Args:
        path: .html.
        volume: the CT.
        result: its findings.
        sentences: the best sentence of each, in order.
        heatmaps: of these.
        scale: of the weights.
        job: told of every figure.

    Raises:
        CannotWrite: the file cannot be written.
        Cancelled: the job was cancelled; nothing is left behind.
    """
    entries, plain = entries_of(volume, sentences, heatmaps, scale, job=job or Job())
    words = PageWords(
        title=f"{len(result.findings)} findings, scored",
        tally=f"{NOT_A_DIAGNOSIS} {_tally(result.findings)}",
        heading="Findings",
        introduction=[_WHAT_A_SCORE_IS, "Open a finding to see where its sentence fits best."],
    )
    named = [_named(entry, finding) for entry, finding in zip(entries, result.findings, strict=True)]
    write_page(path, result, words, named, plain, scale)


def _named(entry: Entry, finding: FindingScore) -> Entry:
    """The entry of a best sentence as that of its finding."""
    own = ("Score of the finding", f"{finding.score:.3f}")
    facts = [(_OF_THE_SENTENCE.get(name, name), value) for name, value in entry.facts if name not in _SAME_FOR_ALL]
    text = f"{finding.label}: {entry.text}"
    return replace(entry, text=text, score=f"score {finding.score:.2f}", facts=[own, *facts])


def _tally(findings: Sequence[FindingScore]) -> str:
    """Such as "Best sentences: 14 not located, 3 located, 1 weak."; "" where the weights carry no thresholds."""
    ways = Counter(finding.evidence for finding in findings if finding.evidence is not None)
    parts = ", ".join(f"{count} {way}" for way, count in ways.most_common())
    return f"Best sentences: {parts}." if parts else ""
