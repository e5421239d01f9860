"""`simcrop bench`: how fast is it on this machine?"""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from simcrop_core.benchmark.result import BenchResult
from simcrop_core.cli.console import out, say_json, shown_progress
from simcrop_core.cli.options import Flag
from simcrop_core.results import DeviceName, as_json


@dataclass(frozen=True, slots=True)
class Bench:
    """Time reading, encoding, sentences and segmentation beside the released network and MONAI, in one run.

    Takes some five minutes on two CPU cores.
    """

    device: DeviceName = "auto"
    """Where to compute."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Measure and print."""
        from simcrop_core.benchmark.run import run_benchmark

        with shown_progress() as job:
            result = run_benchmark(self.device, job)
        if self.json:
            say_json(as_json(result))
        else:
            _say(result)
        return 0


def _say(result: BenchResult) -> None:
    parts = {name: part for name, part in as_json(result).items() if name in ("small", "base", "peers")}
    table = Table("", *parts, box=None, header_style="bold")
    for figure in dict.fromkeys(figure for part in parts.values() for figure in part):
        table.add_row(figure, *(_cell(part.get(figure)) for part in parts.values()))
    out.print(table)
    out.print(", ".join(f"{name} {value}" for name, value in result.environment.items()), style="dim")


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return "–" if value is None else str(value)
