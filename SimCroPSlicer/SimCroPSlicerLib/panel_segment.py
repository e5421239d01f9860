"""Segments with one click, their surfaces, and their table."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SimCroPSlicerLib import provenance, segments
from SimCroPSlicerLib.desk import Desk, fill
from SimCroPSlicerLib.logic import Segmented
from SimCroPSlicerLib.measured_segments import add_measured
from SimCroPSlicerLib.rows import VOLUME_COLUMNS, volume_row
from SimCroPSlicerLib.tasks import Work

WIDE = 0


class SegmentPart:
    """The Segment section.

    Args:
        desk: shared by the parts.
        version: of the engine, for provenance.
    """

    def __init__(self, desk: Desk, version: str) -> None:
        self._desk = desk
        self._version = version
        desk.ui.lungsButton.connect("clicked(bool)", lambda *_: self.segment("lungs"))
        desk.ui.lobesButton.connect("clicked(bool)", lambda *_: self.segment("lobes"))
        desk.ui.lobesButton.visible = False
        desk.ui.chestButton.connect("clicked(bool)", lambda *_: self.segment("chest"))
        fill(desk.ui.volumeTable, VOLUME_COLUMNS, [], WIDE)

    def segment(self, task: str) -> None:
        """Label the CT and put the segments into the scene."""
        volume = self._desk.volume()
        if volume is None:
            self._desk.say(_("Choose a CT volume first."), amber=True)
            return
        with_surfaces = bool(self._desk.ui.surfacesCheckBox.checked)
        self._desk.run(_("Segmenting"), self._work(volume, task, with_surfaces), self._done)

    def restore(self, volume: Any) -> None:
        """Show the measures that the scene holds for a CT: the last ones made."""
        tables = [] if volume is None else provenance.referring(volume, "vtkMRMLTableNode")
        self._show(segments.rows_of(tables[-1]) if tables else [])

    def _work(self, volume: Any, task: str, with_surfaces: bool) -> Work:
        result: Segmented = yield from self._desk.logic.segmented(volume, task)
        node, _rows = yield from add_measured(volume, task, result, self._version)
        if with_surfaces:
            for _name in segments.surfaces(node, result.labels):
                yield None
        return volume

    def _done(self, volume: Any) -> None:
        # Another CT may have been chosen meanwhile; its table is not to show this one's measures.
        if volume is self._desk.volume():
            self.restore(volume)

    def _show(self, rows: list[segments.Measure]) -> None:
        fill(self._desk.ui.volumeTable, VOLUME_COLUMNS, [volume_row(*row) for row in rows], WIDE)
