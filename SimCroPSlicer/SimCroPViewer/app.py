"""One session: a scene, an engine to ask, and the parts of the page. Only wiring."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.logic import HEARTBEAT_S, EngineLogic
from SimCroPSlicerLib.report_file import report_text

from simcrop_core import __version__
from SimCroPViewer.desk import Desk
from SimCroPViewer.engine_link import EngineLink
from SimCroPViewer.keys import Keys
from SimCroPViewer.options import SessionOptions
from SimCroPViewer.page import build_page
from SimCroPViewer.part_ask import AskPart
from SimCroPViewer.part_engine import EnginePart
from SimCroPViewer.part_files import FilesPart
from SimCroPViewer.part_findings import FindingsPart
from SimCroPViewer.part_heatmap import HeatmapPart
from SimCroPViewer.part_here import HerePart
from SimCroPViewer.part_report import ReportPart
from SimCroPViewer.part_scan import ScanPart
from SimCroPViewer.part_segment import SegmentPart
from SimCroPViewer.part_three_d import ThreeDPart
from SimCroPViewer.stage import Stage
from SimCroPViewer.turns import Turns


class Viewer:
    """Everything between one page and the engine.

    Args:
        server: trame's.
        options: of the session.
    """

    def __init__(self, server: Any, options: SessionOptions) -> None:
        self._options = options
        self.stage = Stage(server, lambda point: self.here.ask(point))
        self.link = EngineLink(options, lambda: self.engine.changed(), gone=lambda: self.desk.background(server.stop()))
        self.turns = Turns(lambda: self.logic.scheduler.turn(), server.state.flush)
        self.logic = EngineLogic(self.link, self.turns.wake)
        self.display = HeatmapDisplay(self.stage.scene, __version__)
        self.desk = Desk(server, self.logic, self.display)
        self.engine = EnginePart(self.desk, self.link)
        self.report = ReportPart(self.desk)
        self.ask = AskPart(self.desk)
        self.heatmap = HeatmapPart(self.desk)
        self.segment = SegmentPart(self.desk, __version__)
        self.findings = FindingsPart(self.desk)
        self.here = HerePart(self.desk, (self.report.candidates, self.findings.candidates))
        three_d = ThreeDPart(self.desk, self.stage)
        parts = (self.report, self.ask, self.segment, self.findings, self.here, three_d)
        self.scan = ScanPart(self.desk, self.stage, [part.clear for part in parts], paths=options.paths)
        self.keys = Keys(self)
        self.files = FilesPart(self, options.secret)
        server.state.paths = options.paths
        build_page(server, self)

    def begin(self) -> None:
        """The session's event loop runs: open what was asked for."""
        for work in (self.turns.run(), self.link.watch(), self._beat(), self._open()):
            self.desk.background(work)

    async def _open(self) -> None:
        if not self._options.scan:
            return
        self.desk.busy("Reading the CT")
        options = self._options
        await self.scan.opened(Path(options.scan), options.series or None, options.frame or None)
        if self._options.report:
            self.report.take(report_text(Path(self._options.report)))

    async def _beat(self) -> None:
        """The engine keeps the session's scan for as long as it hears of it."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if self.link.address is not None:
                self.desk.run("", self.logic.heartbeats(), lambda _: None, quiet=True)
