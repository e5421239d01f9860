"""`simcrop phantom`: synthetic chest CTs with reports and exact truth, in the form of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional, arg

from simcrop_core.cli.console import out, say_json, shown_progress
from simcrop_core.cli.options import Flag, whole_number
from simcrop_core.phantom.layouts.settings import LayoutName, Settings
from simcrop_core.phantom.result import PhantomResult
from simcrop_core.phantom.truth import Size, Style
from simcrop_core.results import as_json


@dataclass(frozen=True, slots=True)
class Phantom:
    """Draw synthetic chest CTs with reports and exact truth, in the folders and tables of a data set.

    For running, training and testing everything where no data set is at hand. Not evidence about patients. The same
    command goes on where it was stopped.
    """

    folder: Annotated[Path, Positional]
    """A new folder, or one that this command made."""
    count: Annotated[int, arg(aliases=["-n"]), whole_number(at_least=1)]
    """How many phantoms."""
    layout: LayoutName = "ct-rate"
    """The data set whose form is written."""
    style: Style = "a"
    """The generator: a is for training, b for measuring only."""
    size: Size = "frame"
    """frame: 224 x 224 x 112 voxels as the model sees a scan; full: 512 x 512 x 300 as a scanner writes it."""
    first_seed: Annotated[int, whole_number(at_least=0)] = 0
    """The first phantom's number; the others follow."""
    valid_percent: Annotated[int, whole_number(at_least=0, at_most=100)] = 10
    """How many of a hundred are held out, in the set's own validation split."""
    workers: Annotated[int, whole_number(at_least=1)] = 1
    """Processes side by side; each needs 1 GB of memory (frame) or 2 GB (full)."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Draw what is missing and write the tables."""
        from simcrop_core.phantom.layouts.write import write_phantoms

        settings = Settings(self.layout, self.style, self.size, self.valid_percent)
        seeds = range(self.first_seed, self.first_seed + self.count)
        with shown_progress() as job:
            result = write_phantoms(self.folder, settings, seeds, workers=self.workers, job=job)
        if self.json:
            say_json(as_json(result))
        else:
            _say(result)
        return 0


def _say(result: PhantomResult) -> None:
    table = Table("drawn in", "scans", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for label, count in result.labels.items():
        table.add_row(label, str(count))
    out.print(table)
    out.print(
        f"{result.drawn} drawn, {result.skipped} there already, in {result.seconds:.0f} s; "
        f"{result.held} in {escape(result.folder)}, layout {result.layout}.",
        soft_wrap=True,
    )
    out.print("[yellow]Synthetic: nothing measured on phantoms is evidence about patients.[/]")
