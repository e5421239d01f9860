"""The panel: its parts, the volume they are about, and what happens when scenes come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from SimCroPSlicerLib.desk import Desk
from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.engine_choice import EngineChoice
from SimCroPSlicerLib.logic import HEARTBEAT_S, EngineLogic
from SimCroPSlicerLib.panel_ask import AskPart
from SimCroPSlicerLib.panel_checks import ChecksPart
from SimCroPSlicerLib.panel_engine import EnginePart
from SimCroPSlicerLib.panel_findings import FindingsPart
from SimCroPSlicerLib.panel_heatmap import HeatmapPart
from SimCroPSlicerLib.panel_here import HerePart
from SimCroPSlicerLib.panel_report import ReportPart
from SimCroPSlicerLib.panel_segment import SegmentPart
from SimCroPSlicerLib.tasks import Task, Work


class Panel:
    """Everything between the widgets and the engine.

    Args:
        ui: the widgets by name.
        root: the widget that holds them.
        mrml_scene: that is shown.
        logic: asks the engine.
        choice: which engine.
        ask: shows a question with OK and Cancel.
        install_torch: through Slicer's PyTorch extension; what went wrong, or "".
    """

    def __init__(
        self,
        ui: Any,
        root: Any,
        mrml_scene: Any,
        logic: EngineLogic,
        choice: EngineChoice,
        ask: Callable[[str], bool],
        install_torch: Callable[[], str],
    ) -> None:
        self._ui = ui
        self._choice = choice
        self._logic = logic
        self._volume: Any = None
        self._observation = 0
        self._closing: Task | None = None
        self.display = HeatmapDisplay(mrml_scene, choice.version)
        self.desk = Desk(ui, logic, self.display, lambda: self._volume)
        self.checks = ChecksPart(self.desk)
        self.report = ReportPart(self.desk)
        self.ask = AskPart(self.desk)
        self.desk.text_changed = self.ask.update_note
        self.heatmap = HeatmapPart(self.desk, root)
        self.segment = SegmentPart(self.desk, choice.version)
        self.findings = FindingsPart(self.desk)
        self.here = HerePart(self.desk, (self.report.candidates, self.findings.candidates))
        self.engine = EnginePart(self.desk, choice, ask, install_torch)
        ui.lungWindowButton.connect("clicked(bool)", lambda *_: self.display.set_window("lung"))
        ui.mediastinumWindowButton.connect("clicked(bool)", lambda *_: self.display.set_window("mediastinum"))
        self.desk.say("")
        self._pulse = qt.QTimer()
        self._pulse.setInterval(int(HEARTBEAT_S * 1000))
        self._pulse.connect("timeout()", self._beat)
        self._pulse.start()

    def update(self, parameters: Any) -> None:
        """The parameter node has changed."""
        self._choice.device = parameters.device
        self.report.images.count = parameters.imageCount
        if parameters.inputVolume is not self._volume:
            self._watch(parameters.inputVolume)
            self.display.set_source(self._volume)
            self.checks.clear()
            self.findings.restore(self._volume)
            self.here.clear()
            self.report.restore(self._volume)
            self.segment.restore(self._volume)
            self._ui.answerLabel.text = ""
            self.ask.update_note()
        self.heatmap.update(parameters)

    def enter(self) -> None:
        """The panel is opened."""
        self.display.enter()

    def leave(self) -> None:
        """Another module is opened."""
        self.here.stop()
        self.display.leave()

    def scene_closed(self) -> None:
        """The scene is empty now."""
        self._logic.scheduler.cancel_all()
        self.close_gone()
        self.display.scene_closed()
        self._watch(None)
        self.checks.clear()
        self.report.forget()
        self.segment.restore(None)
        self._ui.answerLabel.text = ""
        self.findings.restore(None)
        self.here.clear()
        self.ask.update_note()

    def close_gone(self) -> None:
        """Where a volume has left the scene, the engine does not keep it until the lease ends."""
        under_way = self._closing is not None and not self._closing.finished
        if self._choice.engine.address is not None and self._logic.holds_gone and not under_way:
            self._closing = self._quietly(self._logic.gone_closed())

    def close(self) -> None:
        """Slicer ends, or the module is reloaded."""
        self._pulse.stop()
        self._logic.scheduler.cancel_all()
        self._choice.engine.stop_now()

    def _watch(self, volume: Any) -> None:
        """Look at another CT, and hear of its frames where it shows those of a sequence."""
        if self._volume is not None:
            self._volume.RemoveObserver(self._observation)
        self._volume = volume
        if volume is not None:
            self._observation = volume.AddObserver(volume.ImageDataModifiedEvent, lambda *_: self._frame_changed())

    def _frame_changed(self) -> None:
        other = self.display.other_frame()
        if other:
            self.desk.say(_("The heatmap is of another frame: {frame}.").format(frame=other))

    def _beat(self) -> None:
        if self._choice.engine.address is not None:
            self._quietly(self._logic.heartbeats())

    def _quietly(self, work: Work) -> Task:
        return self.desk.run("", work, lambda _result: None, quiet=True, failed=lambda _fault: None)
