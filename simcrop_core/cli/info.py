"""`simcrop info`: what a scan is, at once."""

from __future__ import annotations

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from simcrop_core.cli.console import out, say_json, shown_progress
from simcrop_core.cli.options import CT, Flag, FrameNumber
from simcrop_core.cli.tables import say_passport
from simcrop_core.results import InfoResult, as_json


@dataclass(frozen=True, slots=True)
class Info:
    """Header, orientation, HU, field of view and header checks of a scan."""

    ct: CT
    """NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    frame: FrameNumber = None
    """Which volume of a 4D file (NIfTI, NRRD, MHA/MHD): the first is 1."""
    json: Flag = False
    """Print the result as JSON (docs/results.md)."""

    def run(self) -> int:
        """Read the scan and say what it is."""
        from simcrop_core.imaging.overview import overview

        with shown_progress() as job:
            result = overview(self.ct, series=self.series, frame=self.frame, job=job)
        if self.json:
            say_json(as_json(result))
        else:
            _say(result)
        return 0


def _say(result: InfoResult) -> None:
    volume = result.volume
    rows = {
        "name": volume.name,
        **result.header,
        "voxels": " × ".join(map(str, volume.shape)),
        "spacing": " × ".join(f"{mm:.3g}" for mm in volume.spacing_mm) + " mm",
        "field of view": " × ".join(f"{mm:.0f}" for mm in result.field_of_view_mm) + " mm",
        "orientation": volume.orientation,
        "HU percentiles": ", ".join(f"{p} %: {hu:.0f}" for p, hu in result.hu_percentiles.items()) or "no finite voxel",
        "lungs": _lungs(result),
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", escape(value))
    out.print(table)
    say_passport(result.passport)


def _lungs(result: InfoResult) -> str:
    if result.lungs_box_ras_mm is None:
        return "none found"
    spans = zip("RAS", *result.lungs_box_ras_mm, strict=True)
    return ", ".join(f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in spans) + " mm"
