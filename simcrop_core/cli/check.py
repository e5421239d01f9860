"""`simcrop check`: a scan's passport, whatever its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from simcrop_core.cli.console import say_json, shown_progress
from simcrop_core.cli.options import CT, Flag, FrameNumber
from simcrop_core.results import as_json


@dataclass(frozen=True, slots=True)
class Check:
    """Every check of a scan: passed, repaired, warned of or refused (exit code 1); docs/passport.md."""

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    frame: FrameNumber = None
    """Which volume of a 4D file (NIfTI, NRRD, MHA/MHD): the first is 1."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Read the scan and say what every check found."""
        from simcrop_core.cli.tables import say_check
        from simcrop_core.imaging.overview import check_scan

        with shown_progress() as job:
            result = check_scan(self.ct, series=self.series, frame=self.frame, job=job)
        if self.json:
            say_json(as_json(result))
        else:
            say_check(result)
        return 1 if result.outcome == "refused" else 0
