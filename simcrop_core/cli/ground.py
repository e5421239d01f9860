"""`simcrop ground`: where in the scan is this sentence?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from simcrop_core.cli.console import say_json, say_warnings, shown_progress
from simcrop_core.cli.options import CT, Flag, results_folder
from simcrop_core.errors import NothingToGround, UnreadableFile
from simcrop_core.results import DeviceName, as_json


@dataclass(frozen=True, slots=True)
class Ground:
    """Find sentences in a chest CT: a heatmap, a figure and a line of JSON each, and one page for all of them."""

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    sentence: UseAppendAction[tuple[str, ...]] = ()
    """A sentence to find; may be given several times."""
    report: Path | None = None
    """A text file with a whole report, split into sentences."""
    output: Path | None = None
    """Folder for the results [default: simcrop-results/<name of the scan>]."""
    weights: str = "starter"
    """Name, folder or file of the weights (`simcrop weights list`)."""
    device: DeviceName = "auto"
    """Where to compute."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    full_resolution: Flag = False
    """Write heatmaps on the scan's own grid instead of the patch grid."""
    draw_absent: Flag = False
    """Draw sentences, too, that say something is absent or normal."""
    force: Flag = False
    """Go on where no lungs are found."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Ground the sentences and write what was found."""
        from simcrop_core.cli.tables import say_grounding
        from simcrop_core.export.folder import write_grounding
        from simcrop_core.inference.engine import Engine
        from simcrop_core.inference.session import Session
        from simcrop_core.text.report import parse_report, parse_sentence

        statements = [parse_sentence(text) for text in self.sentence]
        if self.report is not None:
            statements += parse_report(_report_text(self.report))
        if not statements:
            raise NothingToGround("There is no sentence to look for.", hint="Give --sentence, or --report with text.")
        engine = Engine(self.weights, self.device)
        with shown_progress() as job:
            session = Session.open(self.ct, engine, series=self.series, force=self.force, job=job)
            grounded = session.ground(statements, job)
            folder = self.output or results_folder(self.ct)
            result = write_grounding(
                folder,
                session.volume,
                grounded.result,
                grounded.heatmaps,
                engine.colour_scale,
                full_resolution=self.full_resolution,
                draw_absent=self.draw_absent,
                job=job,
            )
        say_warnings(result.warnings)
        if self.json:
            say_json(as_json(result))
        else:
            say_grounding(result, folder)
        return 0


def _report_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise UnreadableFile(
            f"The report {path} cannot be read as text: {fault}.", hint="Save it as a plain UTF-8 text file."
        ) from fault
