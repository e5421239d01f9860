"""`simcrop ground`: where in the scan is this sentence?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import UseAppendAction

from simcrop_core.cli.console import say_json, say_warnings, shown_progress
from simcrop_core.cli.options import CT, Flag, FrameNumber, Point, results_folder, source_series
from simcrop_core.errors import NothingToGround, UnreadableFile
from simcrop_core.results import AtResult, DeviceName, GroundResult, as_json

if TYPE_CHECKING:
    from simcrop_core.imaging.dicom.source import SourceSeries
    from simcrop_core.imaging.isolated import ScanReading
    from simcrop_core.inference.session import Session
    from simcrop_core.progress import Job
    from simcrop_core.text.report import Statement


@dataclass(frozen=True, slots=True)
class Ground:
    """Find sentences in a chest CT: a heatmap, a figure and a line of JSON each, and one page for all of them.

    With --at the other way round: which of the sentences is about this place?
    """

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    sentence: UseAppendAction[tuple[str, ...]] = ()
    """A sentence to find; may be given several times."""
    report: Path | None = None
    """A text file with a whole report, split into sentences."""
    at: Point | None = None
    """A point of the patient, R,A,S in mm (--at=-62,5,180): the sentences are ranked for it; no file is written."""
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
    draw_absent: Flag = False
    """Draw sentences, too, that say something is absent or normal."""
    dicom: Flag = False
    """Write DICOM as well: parametric maps, attention regions, and a structured report (needs a DICOM series)."""
    de_identify: Flag = False
    """Leave names, numbers and dates of patient and study out of the DICOM objects (docs/dicom.md)."""
    force: Flag = False
    """Go on where no lungs are found."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Ground the sentences and write what was found, or rank them for a place."""
        from simcrop_core.imaging.isolated import ScanReading

        # The scan is read beside the loading of the engine.
        with ScanReading(self.ct, series=self.series, frame=self.frame) as reading:
            return self._answered(reading)

    def _answered(self, reading: ScanReading) -> int:
        from simcrop_core.inference.engine import Engine
        from simcrop_core.inference.session import Session
        from simcrop_core.text.report import parse_report, parse_sentence

        statements = [parse_sentence(text) for text in self.sentence]
        if self.report is not None:
            statements += parse_report(_report_text(self.report))
        if not statements:
            raise NothingToGround("There is no sentence to look for.", hint="Give --sentence, or --report with text.")
        source = source_series(self.ct, self.series, self.de_identify) if self.dicom else None
        engine = Engine(self.weights, self.device)
        with shown_progress() as job:
            session = Session.from_reading(reading, engine, force=self.force, job=job)
            if self.at is None:
                result: GroundResult | AtResult = self._grounded(session, statements, source, job)
            else:
                result = session.at(self.at, statements, job)
        if isinstance(result, AtResult):
            say_warnings(session.warnings)
        else:
            say_warnings(result.warnings)
        if self.json:
            say_json(as_json(result))
        else:
            self._say(result)
        return 0

    def _grounded(
        self, session: Session, statements: list[Statement], source: SourceSeries | None, job: Job
    ) -> GroundResult:
        from simcrop_core.export.folder import write_grounding

        grounded = session.ground(statements, job)
        if source is not None:
            from simcrop_core.export.dicom.grounding import write_dicom_grounding

            write_dicom_grounding(
                self._folder, grounded.result, grounded.heatmaps, session.engine.colour_scale, source, job=job
            )
        return write_grounding(
            self._folder,
            session.volume,
            grounded.result,
            grounded.heatmaps,
            session.engine.colour_scale,
            full_resolution=self.full_resolution,
            draw_absent=self.draw_absent,
            job=job,
        )

    def _say(self, result: GroundResult | AtResult) -> None:
        from simcrop_core.cli.tables import say_grounding, say_place

        if isinstance(result, AtResult):
            say_place(result)
        else:
            say_grounding(result, self._folder)

    @property
    def _folder(self) -> Path:
        return self.output or results_folder(self.ct, self.frame)


def _report_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise UnreadableFile(
            f"The report {path} cannot be read as text: {fault}.", hint="Save it as a plain UTF-8 text file."
        ) from fault
