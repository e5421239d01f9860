"""SimCroP in Slicer: type a sentence of a chest-CT report and see where in the scan it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class SimCroPSlicer(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("SimCroP")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SimCroP for Slicer developers"]
        self.parent.helpText = _(
            "Shows where each sentence of a radiology report is in a chest CT, and segments lungs and organs. "
            "Research software. Not a medical device: not for diagnosis or treatment."
        )
        self.parent.acknowledgementText = _(
            "An independent implementation of the method of SimCroP (MICCAI 2025); it is not by the paper's authors."
        )
        slicer.app.connect("startupCompleted()", register_sample_data)


def _find_engine() -> Path:
    """Make the engine's torch-free client importable; nothing is imported when Slicer merely lists its modules."""
    from SimCroPSlicerLib.engine_path import add_engine_to_path

    return add_engine_to_path(Path(__file__).resolve().parent)


def register_sample_data() -> None:
    """List the sample CT in Slicer's Sample Data module."""
    _find_engine()
    from SimCroPSlicerLib.sample import register

    register(Path(__file__).resolve().parent)


class SimCroPSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: only wiring (SimCroPSlicerLib/panel.py does the work)."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Any = None
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._fetch: Any = None

    def setup(self) -> None:
        """Called when the panel is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        _find_engine()
        from SimCroPSlicerLib.panel import Panel
        from SimCroPSlicerLib.torch_setup import install_torch

        root = slicer.util.loadUI(self.resourcePath("UI/SimCroPSlicer.ui"))
        self.layout.addWidget(root)
        self.ui = slicer.util.childWidgetVariables(root)
        root.setMRMLScene(slicer.mrmlScene)
        self.logic = SimCroPSlicerLogic()
        self.panel = Panel(
            self.ui,
            root,
            slicer.mrmlScene,
            self.logic.engineLogic,
            self.logic.choice,
            slicer.util.confirmOkCancelDisplay,
            install_torch,
        )
        self.ui.sampleDataButton.connect("clicked(bool)", self.onSampleData)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()

    def enter(self) -> None:
        """Called each time the panel is opened."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called when another module is opened: the views go back to how they were."""
        self.panel.leave()
        self._disconnect()

    def cleanup(self) -> None:
        """Called when Slicer ends or the module is reloaded."""
        self._disconnect()
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        """The parameter node is about to go."""
        self._disconnect()

    def onSceneEndClose(self, _caller: Any, _event: Any) -> None:
        """A new, empty scene."""
        self.panel.scene_closed()
        self.initializeParameterNode()

    def onSceneEndImport(self, _caller: Any, _event: Any) -> None:
        """A scene was loaded: take up its results."""
        self.initializeParameterNode()

    def onNodeRemoved(self, _caller: Any, _event: Any) -> None:
        """It may have been a volume that the engine holds."""
        self.panel.close_gone()

    def onSampleData(self, _checked: bool = False) -> None:
        """Fetch, load and choose the sample CT."""
        from SimCroPSlicerLib.sample import load_sample

        self._fetch = load_sample(self.panel.desk, self.logic.choice, self._choose)

    def initializeParameterNode(self) -> None:
        """Take the scene's parameter node, and the first CT where none is chosen."""
        node = self.logic.getParameterNode()
        self._disconnect()
        if node.inputVolume is None:
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if first is not None:
                node.inputVolume = first
        self._parameterNode = node
        self._parameterNodeGuiTag = node.connectGui(self.ui)
        self.addObserver(node.parameterNode, self._modified, self._update)
        self._update()

    def _disconnect(self) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode.parameterNode, self._modified, self._update)
            self._parameterNode = None

    @property
    def _modified(self) -> Any:
        import vtk

        return vtk.vtkCommand.ModifiedEvent

    def _update(self, _caller: Any = None, _event: Any = None) -> None:
        if self._parameterNode is not None:
            self.panel.update(self._parameterNode)

    def _choose(self, volume: Any) -> None:
        if self._parameterNode is not None:
            self._parameterNode.inputVolume = volume


class SimCroPSlicerLogic(ScriptedLoadableModuleLogic):
    """For the panel and for scripts: `ground`, `segment` and `findings` return when they are done.

    The GUI stays alive meanwhile. Example: docs/slicer-developer.md.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        source = _find_engine()
        from SimCroPSlicerLib import install
        from SimCroPSlicerLib.engine_choice import EngineChoice
        from SimCroPSlicerLib.logic import EngineLogic
        from SimCroPSlicerLib.runners import TurnTimer

        from simcrop_core import __version__

        requirements = Path(__file__).resolve().parent / "Resources" / "requirements.txt"
        self.choice = EngineChoice(source, install.engine_folder(), requirements, __version__, install.slicer_python())
        self._timer = TurnTimer(lambda: self.engineLogic.scheduler.turn())
        self.engineLogic = EngineLogic(self.choice.engine, self._timer.wake)

    def getParameterNode(self) -> Any:
        """The panel's parameters in the scene."""
        from SimCroPSlicerLib.parameters import SimCroPParameters

        # The wrapper makes the constructor.
        wrapped: Any = SimCroPParameters
        return wrapped(super().getParameterNode())

    def ground(self, volume: Any, sentences: list[str]) -> list[Any]:
        """Find sentences in a CT.

        Args:
            volume: its volume node.
            sentences: of a report, or one's own.

        Returns:
            A heatmap node a sentence; None where one has no place.

        Raises:
            SimCroPError: with a message and a hint.
        """
        from SimCroPSlicerLib.scripting import ground

        return ground(self.engineLogic, volume, sentences)

    def segment(self, volume: Any, task: str = "chest") -> Any:
        """Segment a CT ("lungs" or "chest"); the segmentation node."""
        from SimCroPSlicerLib.scripting import segment

        return segment(self.engineLogic, volume, task)

    def findings(self, volume: Any) -> list[dict[str, Any]]:
        """The findings' uncalibrated scores (docs/results.md)."""
        from SimCroPSlicerLib.scripting import findings

        return findings(self.engineLogic, volume)

    def close(self) -> None:
        """End the engine."""
        self.choice.engine.stop_now()


class SimCroPSlicerTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer, and on stand-ins for Slicer's widgets in tests/slicer_module."""

    def setUp(self) -> None:
        """An empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Everything, one after the other."""
        self.setUp()
        self.test_scripted_calls()

    def test_scripted_calls(self) -> None:
        """A drawn chest, a sentence and a denial, lungs: nodes in the scene with the right geometry."""
        from SimCroPSlicerLib.self_test import drawn_chest, voxels_inside

        volume = drawn_chest(slicer.mrmlScene)
        logic = SimCroPSlicerLogic()
        try:
            heat, absent = logic.ground(volume, ["Mass in the left lower lobe.", "Comparison is made to 2019."])
            assert heat is not None
            assert absent is None
            segmentation = logic.segment(volume, "lungs")
            assert segmentation.GetSegmentation().GetNumberOfSegments() >= 2
            assert voxels_inside(segmentation) > 0
            logging.info("SimCroP: scripted calls work")
        finally:
            logic.close()
