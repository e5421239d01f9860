"""Segments with one click, their surfaces, and the table of their volumes."""

from __future__ import annotations

from typing import Any

from SimCroPSlicerLib import provenance, segments
from SimCroPSlicerLib.logic import Segmented
from SimCroPSlicerLib.measured_segments import add_measured
from SimCroPSlicerLib.rows import volume_row
from SimCroPSlicerLib.tasks import Work

from SimCroPViewer.desk import CHOOSE_FIRST, Desk
from SimCroPViewer.tables import as_rows


class SegmentPart:
    """The section "Segment".

    Args:
        desk: shared by the parts.
        version: of the engine, for provenance.

    Attributes:
        node: the segmentation in view, or None.
        labels: its label map, and the names of its values.
        rows: structure, mL, mean HU.
    """

    def __init__(self, desk: Desk, version: str) -> None:
        self._desk = desk
        self._version = version
        self.node: Any = None
        self.labels: Segmented | None = None
        self.rows: list[segments.Measure] = []
        desk.state.update({"volume_rows": [], "volume_row": -1, "fill": 0.25, "segments_shown": True})
        desk.state.change("fill", "segments_shown")(self._drawn)

    def segment(self, task: str) -> None:
        """Label the CT and put the segments, with surfaces, into the scene; those of before go."""
        if self._desk.volume is None:
            self._desk.say(CHOOSE_FIRST, "warning")
            return
        self._desk.run("Segmenting", self._work(self._desk.volume, task), self._show)

    def clear(self) -> None:
        """Another CT was opened."""
        self.node, self.labels, self.rows = None, None, []
        self._desk.state.volume_rows = []

    def _work(self, volume: Any, task: str) -> Work:
        result: Segmented = yield from self._desk.logic.segmented(volume, task)
        self._remove(volume)
        self.node, rows = yield from add_measured(volume, task, result, self._version)
        self.labels = result
        self._drawn(self._desk.state.fill, self._desk.state.segments_shown)
        for _name in segments.surfaces(self.node, result.labels):
            yield None
        return rows

    def _remove(self, volume: Any) -> None:
        """What was segmented before; its table too."""
        tables = provenance.referring(volume, "vtkMRMLTableNode")
        for node in [*tables, self.node]:
            if node is not None and node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
        self.node, self.labels = None, None

    def _show(self, rows: list[segments.Measure]) -> None:
        self.rows = rows
        self._desk.state.volume_rows = as_rows([volume_row(*row) for row in rows])

    def _drawn(self, fill: float, segments_shown: bool, **_: Any) -> None:
        if self.node is not None and self.node.GetDisplayNode() is not None:
            self.node.GetDisplayNode().SetOpacity2DFill(float(fill))
            self.node.GetDisplayNode().SetVisibility(bool(segments_shown))
