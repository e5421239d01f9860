"""The command `simcrop-prepare`: a data set of CTs and reports into a training store."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional

from simcrop_core.cli.console import exit_code, out, say_json, say_warnings, shown_progress
from simcrop_core.cli.options import Flag, whole_number
from simcrop_core.models.presets import PRETRAINING_PRESETS
from simcrop_core.results import as_json
from simcrop_training.prepare.report import PrepareReport, ScanNote

if TYPE_CHECKING:
    from simcrop_training.prepare.run import Machines

Preset = Literal["base", "small"]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Turn CT-RATE, or any CTs with reports, into a store that training reads crops from.

    The same command goes on where it was stopped. The store inherits the data set's terms.
    """

    source: Annotated[Path, Positional]
    """CT-RATE's folder, or a CSV file with the columns path, findings, impression, split."""
    store: Annotated[Path, Positional]
    """A new folder, or a store of the same data set."""
    workers: Annotated[int, whole_number(at_least=1)] = 1
    """Processes side by side; each needs 1.5 GB of memory."""
    cluster: str | None = None
    """Work on a Ray cluster instead: its address, or "auto". Both paths must be the same on every machine."""
    preset: tuple[Preset, ...] = ("small",)
    """Presets whose text encoder embeds the sentences; give none to leave that for later."""
    margin_mm: float = 24.0
    """Kept around the frame, so that training may place it at random."""
    bench: Annotated[int, whole_number(at_least=0)] = 0
    """Measure: cut so many random crops out of the store, and read some of the data set's files beside."""
    verify: Flag = False
    """Read every stored file again, and make anew what is damaged."""
    prune: Flag = False
    """Delete what the store keeps of scans that it no longer holds; end training runs that read it before."""
    json: Flag = False
    """Print the report as JSON (docs/training-data.md)."""

    def run(self) -> int:
        """Prepare what is missing and say what came of it."""
        from simcrop_training.datasets.find import read_data_set
        from simcrop_training.prepare.run import prepare
        from simcrop_training.prepare.volume import Settings

        encoders = [PRETRAINING_PRESETS[name].text for name in self.preset]
        with shown_progress() as job:
            data = read_data_set(self.source)
            report = prepare(
                data,
                self.store,
                Settings(margin_mm=self.margin_mm),
                self._machines(),
                encoders=encoders,
                verify=self.verify,
                prune=self.prune,
                job=job,
            )
            if self.bench and report.scans:
                from simcrop_training.prepare.bench import measure_reading
                from simcrop_training.store.store import Store

                reading = measure_reading(data, Store.open(self.store), self.bench, job=job)
                report = dataclasses.replace(report, reading=reading)
        if self.json:
            say_json(as_json(report))
        else:
            _say(report)
        return 0

    def _machines(self) -> Machines:
        if self.cluster is not None:
            from simcrop_training.prepare.cluster import on_cluster

            return on_cluster(self.cluster)
        from simcrop_training.prepare.workers import over_processes

        return partial(over_processes, workers=self.workers)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `simcrop-prepare`. Exit code 0: done; 1: the input or the environment is at fault; 2: usage."""
    command = tyro.cli(Prepare, prog="simcrop-prepare", args=arguments)
    sys.exit(exit_code(command.run, stopped="Nothing half-written was left behind; the same command goes on."))


def _say(report: PrepareReport) -> None:
    splits = ", ".join(f"{count} {split}" for split, count in report.studies.items()) or "none"
    out.print(
        f"{report.scans} scans of {report.patients} patients ({splits} studies) in {escape(report.folder)}, "
        f"{report.stored_bytes / 2**30:.2f} GiB: {report.prepared} prepared in {report.seconds:.0f} s, "
        f"{report.skipped} there already.",
        soft_wrap=True,
    )
    repeated = 1 - report.different_sentences / max(report.sentences, 1)
    out.print(f"{report.sentences} sentences, {repeated:.0%} of them repeats; embeddings: {_embeddings(report)}.")
    for title, notes in (("repaired", report.repaired), ("warned", report.warned), ("excluded", report.excluded)):
        if notes:
            out.print(_table(title, notes))
    if (reading := report.reading) is not None:
        out.print(
            f"A random crop: {reading.crops_per_core_s:.0f} a core and second ({reading.crops_per_s:.0f} by the clock, "
            f"{reading.gigabytes_per_s:.2f} GB/s); a file read, checked and resampled: "
            f"{reading.files_per_core_s:.2f} a core and second. The store is {reading.times_faster:.0f} times faster.",
            soft_wrap=True,
        )
    if (pruned := report.pruned) is not None:
        out.print(f"{pruned.files} files that nothing refers to were deleted, {pruned.freed_bytes / 2**30:.2f} GiB.")
    say_warnings(report.remarks)
    out.print(f"[yellow]{escape(report.terms)}[/]", soft_wrap=True)


def _embeddings(report: PrepareReport) -> str:
    return ", ".join(f"{e.rows} × {e.dim} by {escape(e.encoder)}" for e in report.embeddings) or "none"


def _table(title: str, notes: Sequence[ScanNote]) -> Table:
    """By code, with the first scan's words; report.json in the store names every scan."""
    table = Table(title, "scans", "such as", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for code, count in Counter(note.code for note in notes).most_common():
        first = next(note for note in notes if note.code == code)
        table.add_row(code, str(count), escape(f"{first.name}: {first.message}"))
    return table


if __name__ == "__main__":
    main()
