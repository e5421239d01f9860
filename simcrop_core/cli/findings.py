"""`simcrop findings`: the 18 CT-RATE labels, each with an uncalibrated score and a place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcrop_core.cli.console import say_json, say_warnings, shown_progress
from simcrop_core.cli.options import CT, Flag, FrameNumber, results_folder
from simcrop_core.results import DeviceName, as_json

if TYPE_CHECKING:
    from simcrop_core.imaging.isolated import ScanReading


@dataclass(frozen=True, slots=True)
class Findings:
    """Score the 18 CT-RATE findings in a chest CT, each with its heatmap. Uncalibrated scores; not a diagnosis."""

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    output: Path | None = None
    """Folder for the results [default: simcrop-results/<name of the scan>]."""
    weights: str = "starter"
    """Name, folder or file of the weights (`simcrop weights list`)."""
    device: DeviceName = "auto"
    """Where to compute."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    frame: FrameNumber = None
    """Which volume of a 4D file (NIfTI, NRRD, MHA/MHD): the first is 1."""
    full_resolution: Flag = False
    """Write heatmaps on the scan's own grid instead of the patch grid."""
    force: Flag = False
    """Go on where no lungs are found."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Score the findings and write what was found."""
        from simcrop_core.imaging.isolated import ScanReading

        # The scan is read beside the loading of the engine.
        with ScanReading(self.ct, series=self.series, frame=self.frame) as reading:
            return self._answered(reading)

    def _answered(self, reading: ScanReading) -> int:
        from simcrop_core.cli.tables import say_findings
        from simcrop_core.export.findings_folder import write_findings
        from simcrop_core.inference.engine import Engine
        from simcrop_core.inference.session import Session

        engine = Engine(self.weights, self.device)
        with shown_progress() as job:
            session = Session.from_reading(reading, engine, force=self.force, job=job)
            found = session.findings(job)
            folder = self.output or results_folder(self.ct, self.frame)
            result = write_findings(
                folder,
                session.volume,
                found.result,
                found.sentences,
                found.heatmaps,
                engine.colour_scale,
                full_resolution=self.full_resolution,
                job=job,
            )
        say_warnings(result.warnings)
        if self.json:
            say_json(as_json(result))
        else:
            say_findings(result, folder)
        return 0
