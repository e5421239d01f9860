"""Slicer's MRML without Slicer: a scene with its logics, slice views that draw off screen, and .mrb files."""

from __future__ import annotations

import tempfile
import types

import numpy as np
import slicer
import vtk
from SimCroPSlicerLib.geometry import matrix_of
from SimCroPSlicerLib.scene import image_of
from vtk.util.numpy_support import vtk_to_numpy

LOGICS = {
    "Colors": slicer.vtkMRMLColorLogic,
    "Volumes": slicer.vtkSlicerVolumesLogic,
    "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
    "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
    "Markups": getattr(slicer, "vtkSlicerMarkupsLogic", None),
}


class BareSlicer:
    """One scene and what Slicer's application would keep beside it."""

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        slicer.mrmlScene = self.scene
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.scene.AddNode(slicer.vtkMRMLLayoutNode())
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self.application.GetColorLogic().SetMRMLScene(self.scene)
        self.application.GetColorLogic().AddDefaultColorNodes()
        self.application.SetSliceLogics(vtk.vtkCollection())
        self.application.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(self.application)
        # The application keeps weak pointers to these.
        self.logics = {name: logic() for name, logic in LOGICS.items() if logic is not None}
        for name, logic in self.logics.items():
            logic.SetMRMLScene(self.scene)
            logic.SetMRMLApplicationLogic(self.application)
            self.application.SetModuleLogic(name, logic)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._files()
        slicer.modules = types.SimpleNamespace(
            segmentations=types.SimpleNamespace(logic=lambda: self.logics["Segmentations"])
        )

    def _files(self):
        self._cache = tempfile.TemporaryDirectory()
        self._remote = slicer.vtkMRMLRemoteIOLogic()
        self._remote.SetMRMLScene(self.scene)
        self._remote.SetMRMLApplicationLogic(self.application)
        self._remote.GetCacheManager().SetRemoteCacheDirectory(self._cache.name)
        self._io = slicer.vtkDataIOManagerLogic()
        self._io.SetMRMLScene(self.scene)
        self._io.SetMRMLApplicationLogic(self.application)
        self._io.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()

    def add_volume(self, voxels, affine, name="chest"):
        """(x, y, z) numbers as a volume node."""
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.CreateDefaultDisplayNodes()
        node.SetIJKToRASMatrix(matrix_of(affine))
        node.SetAndObserveImageData(image_of(np.asarray(voxels)))
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        return node

    def save(self, path):
        """The scene as .mrb."""
        for class_name in ("vtkMRMLStorableNode",):
            for i in range(self.scene.GetNumberOfNodesByClass(class_name)):
                node = self.scene.GetNthNodeByClass(i, class_name)
                if node.GetSaveWithScene() and node.GetStorageNode() is None:
                    node.AddDefaultStorageNode()
        assert self.scene.WriteToMRB(str(path))

    @classmethod
    def loaded(cls, path):
        """Another scene, read from .mrb."""
        other = cls()
        assert other.scene.ReadFromMRB(str(path), False)
        return other

    def slice_view(self, name="Red", orientation="Axial", size=(300, 300)):
        return SliceView(self, name, orientation, size)


class SliceView:
    """One slice view that draws off screen."""

    MANAGERS = (
        "vtkMRMLCrosshairDisplayableManager",
        "vtkMRMLModelSliceDisplayableManager",
        "vtkMRMLSegmentationsDisplayableManager2D",
        "vtkMRMLMarkupsDisplayableManager",
    )

    def __init__(self, bare, name, orientation, size):
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.ShowWindowOff()
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        renderer = vtk.vtkRenderer()
        renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        self._interactor.Initialize()
        # The picture first: flat props are drawn in the order they were added.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        for manager in self.MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(renderer)
        self._group.Initialize(factory, renderer)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(bare.application)
        bare.application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(bare.scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self._group.SetMRMLDisplayableNode(self.node)

    def fit(self):
        self.logic.ResizeSliceNode(*self.window.GetSize())
        self.logic.FitSliceToBackground()

    def picture(self):
        """(rows, columns, 3) uint8, first row on top."""
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        columns, rows, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
        return pixels[::-1, :, :3].copy()

    def pixel_of(self, world_ras_mm):
        """(row, column) at which a world point is drawn."""
        to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), to_xy)
        x, y, _, _ = to_xy.MultiplyPoint((*world_ras_mm, 1))
        return round(self.window.GetSize()[1] - 1 - y), round(x)
