"""A result as the cells of a table: plain text, so that nothing of it depends on Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

SENTENCE_COLUMNS = (_("Sentence"), _("Evidence"), _("Says"), _("Side, lobe"), _("Score"), _("Rank"))
FINDING_COLUMNS = (_("Finding"), _("Score"), _("Evidence"), _("Best sentence"))
HERE_COLUMNS = (_("Sentence"), _("Fits here better than"), _("From"))
VOLUME_COLUMNS = (_("Structure"), _("Volume (mL)"), _("Mean (HU)"))
CHECK_COLUMNS = (_("Check"), _("Outcome"), _("What was found"), _("What to do"))
_MARKS = {"located": "●", "weak": "◐", "not located": "○", "outside field of view": "◇", "not groundable": "–"}


@dataclass(frozen=True)
class Row:
    """The cells of one row.

    Attributes:
        cells: text, column by column.
        conflict: marked amber: the sentence names one side and the peak lies on the other, or a check was not passed.
        tip: what the mark means.
    """

    cells: tuple[str, ...]
    conflict: bool = False
    tip: str = ""


def sentence_row(result: dict[str, Any]) -> Row:
    """A sentence that was looked for (docs/results.md)."""
    conflict = bool(result.get("side_conflict"))
    place = _place(result.get("side"), result.get("lobe"))
    tip = (
        _("The sentence names one side, the peak lies on the other. Check which of the two is wrong.")
        if conflict
        else ""
    )
    cells = (
        str(result["text"]),
        _evidence(result.get("evidence")),
        str(result["polarity"]) if result["kind"] == "finding" else str(result["kind"]),
        place + (" ⚠" if conflict else ""),
        _score(result.get("score")),
        _rank(result.get("rank")),
    )
    return Row(cells, conflict, tip)


def pending_row(statement: dict[str, Any]) -> Row:
    """A sentence that was parsed and is still being looked for."""
    return sentence_row(
        {"evidence": None, **{k: statement.get(k) for k in ("text", "polarity", "kind", "side", "lobe")}}
    )


def finding_row(result: dict[str, Any]) -> Row:
    """A finding and its uncalibrated score."""
    conflict = bool(result.get("side_conflict"))
    cells = (
        str(result["label"]),
        _score(result.get("score")),
        _evidence(result.get("evidence")),
        str(result.get("sentence") or ""),
    )
    return Row(cells, conflict)


def here_row(result: dict[str, Any], origin: str) -> Row:
    """A sentence as it fits the place of the crosshair (docs/serve.md)."""
    share = {"percent": round(100 * result["share_below"])}
    words = _("● best place, {percent} % of the scan") if result["peak"] else _("{percent} % of the scan")
    return Row((str(result["text"]), words.format(**share), origin))


def volume_row(name: str, volume_ml: float, mean_hu: float | None) -> Row:
    """A segment's measures."""
    return Row((name, f"{volume_ml:.1f}", "" if mean_hu is None else f"{mean_hu:.0f}"))


def check_row(finding: dict[str, Any]) -> Row:
    """One check of the scan (docs/passport.md): its code, its outcome, plain words, what to do."""
    cells = tuple(str(finding[part]) for part in ("code", "outcome", "message", "hint"))
    return Row(cells, conflict=finding["outcome"] != "pass")


def worst_first(passport: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The checks in their order, those that were not passed before the others."""
    return sorted(passport, key=lambda finding: finding["outcome"] == "pass")


def progress_text(stage: str, done: int, total: int, eta_s: float | None) -> str:
    """A step of the engine in words: "Segmenting 40 %, 12 s left"."""
    text = stage
    if total:
        text += f" {100 * done // total} %"
    if eta_s is not None:
        text += _(", {seconds} s left").format(seconds=round(eta_s))
    return text


def _place(side: str | None, lobe: str | None) -> str:
    """Side and lobe, each said once."""
    if lobe is None or side is None:
        return lobe or side or ""
    return lobe if side in lobe else f"{side} {lobe}"


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _rank(rank: Any) -> str:
    return "" if rank is None else _("{place} of {count}").format(place=rank[0], count=rank[1])


def _evidence(evidence: str | None) -> str:
    return "" if evidence is None else f"{_MARKS.get(evidence, '')} {evidence}".strip()
