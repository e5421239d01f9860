"""`simcrop info`: what a scan is, at once."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from simcrop_core.cli.console import out, say_json
from simcrop_core.cli.options import CT, Flag
from simcrop_core.results import InfoResult, as_json


@dataclass(frozen=True, slots=True)
class Info:
    """Header, orientation, HU, field of view and header checks of a scan."""

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Read the scan and say what it is."""
        from simcrop_core.imaging.describe import describe

        result = describe(self.ct, series=self.series)
        if self.json:
            say_json(as_json(result))
        else:
            _say(result)
        return 0


def _say(result: InfoResult) -> None:
    table = Table(show_header=False, box=None)
    for name, value in as_json(result).items():
        table.add_row(name, str(value))
    out.print(table)
