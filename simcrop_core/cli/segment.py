"""`simcrop segment`: lungs and organs, one label a voxel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcrop_core.cli.console import say_json, say_warnings, shown_progress
from simcrop_core.cli.options import CT, Flag, FrameNumber, results_folder, source_series
from simcrop_core.results import DeviceName, as_json

if TYPE_CHECKING:
    from simcrop_core.imaging.isolated import ScanReading


@dataclass(frozen=True, slots=True)
class Segment:
    """Label lungs or chest organs on the scan's own grid."""

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    task: str = "lungs"
    """What to label, of the tasks the weights know. starter: lungs (left, right), chest (also trachea, heart, aorta,
    liver, spleen, spine). Weights of the present recipe: also lobes, and body; chest with pulmonary artery and
    oesophagus."""
    output: Path | None = None
    """.nii.gz, .nrrd, .mha or (of a DICOM series) .dcm file.

    [default: simcrop-results/<name of the scan>/<task>.nii.gz]"""
    weights: str = "starter"
    """Name, folder or file of the weights (`simcrop weights list`)."""
    device: DeviceName = "auto"
    """Where to compute."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    frame: FrameNumber = None
    """Which volume of a 4D file (NIfTI, NRRD, MHA/MHD): the first is 1."""
    de_identify: Flag = False
    """Leave names, numbers and dates of patient and study out of a .dcm file (docs/dicom.md)."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Segment the scan and write the label map."""
        from simcrop_core.imaging.isolated import ScanReading

        # The scan is read beside the loading of the engine.
        with ScanReading(self.ct, series=self.series, frame=self.frame) as reading:
            return self._answered(reading)

    def _answered(self, reading: ScanReading) -> int:
        from simcrop_core.cli.tables import say_segmentation
        from simcrop_core.export.nifti import require_writable_format, write_labelmap
        from simcrop_core.export.provenance import facts_of
        from simcrop_core.inference.engine import Engine
        from simcrop_core.inference.session import Session

        source = None
        if self.output is not None and self.output.suffix.lower() == ".dcm":
            source = source_series(self.ct, self.series, self.de_identify)
        elif self.output is not None:
            require_writable_format(self.output)
        engine = Engine(self.weights, self.device)
        with shown_progress() as job:
            session = Session.from_reading(reading, engine, job=job)
            labels = session.segment(self.task, job)
            output = self.output or results_folder(self.ct, self.frame) / f"{self.task}.nii.gz"
            result = session.segment_result(labels, output)
            if source is None:
                write_labelmap(output, labels.voxels, labels.affine, labels.names, facts=facts_of(result))
            else:
                from simcrop_core.export.dicom.segmentation import write_segmentation

                write_segmentation(output, labels, source, engine.segmentation_info())
        say_warnings(result.warnings)
        if self.json:
            say_json(as_json(result))
        else:
            say_segmentation(result)
        return 0
