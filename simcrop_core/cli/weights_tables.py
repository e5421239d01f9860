"""Weights, imports and checks as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from simcrop_core.cli.console import out
from simcrop_core.models.describe import ModelSummary, WeightsSummary, describe_weights
from simcrop_core.models.importers.install import Installed
from simcrop_core.models.importers.report import ImportReport
from simcrop_core.models.verify import Check

_SHOWN_KEYS = 6
_SHORT_SHA = 12
_OUTCOMES = {True: "[green]pass[/]", False: "[red]fail[/]", None: "[dim]–[/]"}


def say_weights(sets: Sequence[WeightsSummary], home: Path) -> None:
    """A row a model, and where the user's own weights are."""
    table = Table("name", "model", "licence", "trained on", "sha256", box=None, header_style="bold")
    for weights in sets:
        models = {
            "grounding": weights.grounding,
            "segmentation": weights.segmentation,
            "image encoder": weights.encoder,
        }
        for kind, model in models.items():
            if model is not None:
                table.add_row(weights.name, kind, *_cells(model))
        if weights.text is not None:
            table.add_row(weights.name, "sentence encoder", "", escape(weights.text), "")
    out.print(table)
    out.print(f"Your own weights are in {escape(str(home))}", soft_wrap=True)


def _cells(model: ModelSummary) -> tuple[str, str, str]:
    if model.fault is not None:
        return "", f"[red]{escape(model.fault)}[/]", model.sha256[:_SHORT_SHA]
    trained_on = escape(model.trained_on) + (" (synthetic)" if model.synthetic else "")
    return escape(model.licence), trained_on, model.sha256[:_SHORT_SHA]


def say_import(installed: Installed) -> None:
    """What became of every key, what the importer decided, and what the licence asks for."""
    for report in installed.reports:
        _say_report(report)
    for file in filter(None, (installed.folder.grounding, installed.folder.segmentation, installed.folder.text)):
        out.print(f"Written: {escape(str(file))}", soft_wrap=True)
    name, grounding = escape(installed.folder.name), describe_weights(installed.folder).grounding
    if grounding is not None and installed.folder.text is None:
        out.print(
            f"Sentences are embedded by {escape(grounding.text_encoder or '')}, fetched when first needed; "
            f"`simcrop weights import FOLDER --name {name}` adds a local copy.",
            soft_wrap=True,
        )
    if installed.folder.grounding or installed.folder.segmentation:
        out.print(f"Use them with --weights {name}", soft_wrap=True)


def _say_report(report: ImportReport) -> None:
    out.print(f"[bold]{escape(report.source)}[/] as {report.format}, sha256 {report.source_sha256}", soft_wrap=True)
    table = Table("keys", "number", "which", box=None, header_style="bold")
    for what in ("loaded", "missing", "unexpected", "mismatched"):
        keys: tuple[str, ...] = getattr(report, what)
        more = " …" if len(keys) > _SHOWN_KEYS else ""
        table.add_row(what, str(len(keys)), escape(", ".join(keys[:_SHOWN_KEYS]) + more))
    out.print(table)
    for note in report.notes:
        out.print(f"[yellow]{escape(note)}[/]" if note.startswith("Warning:") else escape(note), soft_wrap=True)
    out.print(f"[bold]Licence:[/] {escape(report.licence)}", soft_wrap=True)


def say_conversion(name: str, file: Path) -> None:
    """Where the converted encoder is, and how to be rid of it."""
    out.print(f"Written: {escape(str(file))}, and its .bin beside it", soft_wrap=True)
    out.print(f"On a CPU, scans are now encoded with it for --weights {escape(name)}. Delete both to go back to torch.")


def say_checks(name: str, checks: Sequence[Check], *, sound: bool) -> None:
    """A row a check, and the verdict on the set."""
    table = Table("file", "check", "", "found", box=None, header_style="bold")
    table.columns[3].overflow = "fold"
    for check in checks:
        table.add_row(escape(check.file), check.what, _OUTCOMES[check.passed], escape(check.detail))
    out.print(table)
    out.print(f"{escape(name)}: {'[green]sound[/]' if sound else '[red]not sound[/]'}")
