"""Results as tables for people."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from simcrop_core.cli.console import out
from simcrop_core.demo.result import DemoResult
from simcrop_core.export.wording import NOT_A_DIAGNOSIS
from simcrop_core.results import (
    AtResult,
    CheckResult,
    Evidence,
    FindingsResult,
    GroundResult,
    PassportFinding,
    SegmentResult,
    SentenceResult,
)

_OUTCOME_STYLE = {"pass": "green", "repaired": "yellow", "warned": "yellow", "refused": "red"}
_EVIDENCE_STYLE = {"located": "green", "weak": "yellow"}


def say_grounding(result: GroundResult, folder: Path) -> None:
    """A row a sentence, and where the pictures are."""
    table = Table("sentence", "evidence", "score", "rank", "peak R, A, S", box=None, header_style="bold")
    for sentence in result.sentences:
        table.add_row(
            escape(sentence.text),
            _evidence(sentence),
            "–" if sentence.score is None else f"{sentence.score:.3f}",
            "–" if sentence.rank is None else f"{sentence.rank[0]} of {sentence.rank[1]}",
            _peak(sentence),
        )
    for column in table.columns[1:]:
        column.no_wrap = True
    out.print(table)
    out.print("Peaks in mm, no finer than ± 12 mm: a patch is 24 mm wide.", style="dim")
    say_passport(result.passport)
    out.print(f"Page with every picture: {escape(str(folder / 'report.html'))}", soft_wrap=True)


def say_place(result: AtResult) -> None:
    """The sentences for a place, best first."""
    if result.patch_ras_mm is None:
        out.print("The model has seen nothing of the scan there.")
        return
    table = Table("sentence", "fits here better than", "cosine", box=None, header_style="bold")
    for sentence in result.sentences:
        best = " (its best place)" if sentence.peak else ""
        share = f"{100 * sentence.share_below:.0f} % of the scan{best}"
        table.add_row(escape(sentence.text), share, f"{sentence.similarity:.3f}")
    for column in table.columns[1:]:
        column.no_wrap = True
    out.print(table)
    centre = ", ".join(f"{mm:.0f}" for mm in result.patch_ras_mm)
    x, y, z = (round(mm) for mm in result.patch_mm)
    out.print(
        f"Of the patch of {x} × {y} × {z} mm around {centre}. It does not say that something is there.", style="dim"
    )


def say_findings(result: FindingsResult, folder: Path) -> None:
    """A row a label in CT-RATE's order, and where the pictures are."""
    table = Table("finding", "score", "evidence", "best sentence", "peak R, A, S", box=None, header_style="bold")
    for finding in result.findings:
        table.add_row(
            escape(finding.label),
            f"{finding.score:.3f}",
            _evidence_words(finding.evidence),
            escape(finding.sentence or "–"),
            _place(finding.peak_ras_mm, finding.side_conflict),
        )
    for column in table.columns:  # one row a label; the page has every sentence whole
        column.no_wrap = True
    out.print(table)
    out.print(f"{NOT_A_DIAGNOSIS} Compare scans for one finding, not findings with each other.")
    out.print("Peaks in mm, no finer than ± 12 mm: a patch is 24 mm wide.", style="dim")
    say_passport(result.passport)
    out.print(f"Page with every picture: {escape(str(folder / 'findings.html'))}", soft_wrap=True)


def _evidence(sentence: SentenceResult) -> str:
    """What the score means; of a finding said to be absent, "located" would read as its contrary."""
    if sentence.polarity in ("negated", "normal"):
        return f"[dim]{sentence.polarity}[/]"
    return _evidence_words(sentence.evidence)


def _evidence_words(evidence: Evidence | None) -> str:
    return f"[{_EVIDENCE_STYLE.get(evidence or '', 'dim')}]{evidence or '–'}[/]"


def _peak(sentence: SentenceResult) -> str:
    absent = sentence.polarity in ("negated", "normal")
    return "–" if absent else _place(sentence.peak_ras_mm, sentence.side_conflict)


def _place(peak_ras_mm: tuple[float, float, float] | None, side_conflict: bool) -> str:
    if peak_ras_mm is None:
        return "–"
    place = ", ".join(f"{mm:.0f}" for mm in peak_ras_mm)
    return f"{place} [yellow]side conflict[/]" if side_conflict else place


def say_segmentation(result: SegmentResult) -> None:
    """Millilitres a label, and where the label map is."""
    table = Table("label", "mL", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for name, ml in result.volume_ml.items():
        table.add_row(name, f"{ml:.0f}")
    out.print(table)
    say_passport(result.passport)
    out.print(f"Label map: {escape(result.output)}", soft_wrap=True)


def say_passport(findings: list[PassportFinding]) -> None:
    """What the header checks repaired or warned of."""
    for finding in findings:
        if finding.outcome != "pass":
            out.print(f"[yellow]{finding.outcome}[/] {escape(finding.message)} [dim]({finding.code})[/]")


def say_check(result: CheckResult) -> None:
    """A row a check, and what came of all of them."""
    table = Table("check", "outcome", "what was found, and what to do", box=None, header_style="bold")
    for finding in result.passport:
        words = escape(finding.message) + (f" [dim]{escape(finding.hint)}[/]" if finding.hint else "")
        table.add_row(finding.code, f"[{_OUTCOME_STYLE[finding.outcome]}]{finding.outcome}[/]", words)
    for column in table.columns[:2]:
        column.no_wrap = True
    out.print(table)
    out.print(f"{escape(result.name)}: [{_OUTCOME_STYLE[result.outcome]}]{result.outcome}[/]", soft_wrap=True)


def say_demo(result: DemoResult, folder: Path) -> None:
    """Where each sentence peaked, the Dice of each label, and the page."""
    if result.synthetic:
        out.print("[yellow]Synthetic chest: these figures say nothing about real scans.[/]")
    peaks = Table("sentence", "evidence", "peak R, A, S", "off by, mm", box=None)
    for sentence, peak in zip(result.grounding.sentences, result.peaks, strict=True):
        off = f"{_mm(peak.distance_mm)} ({_mm(peak.lung_centre_mm)})" if peak.target is not None else "–"
        peaks.add_row(escape(peak.text), _evidence(sentence), _peak(sentence), off)
    for column in peaks.columns[1:]:
        column.no_wrap = True
    overlap = Table("label", "Dice", "Dice of the threshold baseline", box=None)
    for name, dice in result.dice.items():
        overlap.add_row(name, f"{dice['simcrop']:.3f}", f"{dice['threshold']:.3f}" if "threshold" in dice else "–")
    out.print(peaks)
    out.print("Off by: from the peak to the structure; in brackets, from the middle of the lungs.\n", style="dim")
    out.print(overlap, "")
    out.print(f"{result.seconds:.1f} s from the file to the page. Results in {escape(str(folder))}.", soft_wrap=True)
    out.print(escape(result.attribution), style="dim", soft_wrap=True)
    out.print(f"Page with every picture: {escape(result.page)}", soft_wrap=True)


def _mm(distance: float | None) -> str:
    return "–" if distance is None else f"{distance:.0f}"
