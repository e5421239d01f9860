"""Label maps in the scene: segments with codes and colours, their surfaces, and their measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from SimCroPSlicerLib import anatomy, provenance
from SimCroPSlicerLib.geometry import Affine, affine_of, array_of, matrix_of
from SimCroPSlicerLib.hierarchy import place_beside
from SimCroPSlicerLib.palette import Colour
from SimCroPSlicerLib.scene import image_of
from SimCroPSlicerLib.voxels import voxels_of

ATTENTION_NAME = "attention region, not a measurement"
LABELMAP, SURFACE = "Binary labelmap", "Closed surface"
# Surfaces are for orientation in 3D: made from every n-th voxel, so that n voxels are about this long.
SURFACE_MM = 3.5
_SMOOTHING = 12
# Structure, mL, mean HU or None where it has no voxel.
Measure = tuple[str, float, float | None]


def add_segmentation(
    source: Any, labels: NDArray[np.uint8], names: Mapping[int, str], *, title: str, facts: Mapping[str, Any]
) -> Any:
    """Put a label map into the scene as a segmentation on the volume's own grid, without copying a voxel.

    All segments share one label map, as Slicer itself does for segments that do not overlap.

    Args:
        source: the CT's volume node.
        labels: (x, y, z) uint8 on the CT's grid, x fastest in memory; 0 is background.
        names: label value → structure.
        title: name of the node.
        facts: of provenance.

    Returns:
        The segmentation node, referring to the CT's geometry and under its transform.
    """
    node = source.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", title)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(source)
    shared = _oriented(labels, affine_of(source))
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    for index, (value, name) in enumerate(sorted(names.items())):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*anatomy.colour(name, index))
        segment.SetLabelValue(value)
        segment.AddRepresentation(LABELMAP, shared)
        entry = anatomy.terminology(name)
        if entry is not None:
            segment.SetTag(segment.GetTerminologyEntryTagName(), entry)
        segmentation.AddSegment(segment, name)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.25)
    display.SetOpacity3D(0.6)
    node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    provenance.mark(node, "segmentation", source, facts)
    place_beside(node, source)
    return node


def _oriented(labels: NDArray[np.uint8], affine: Affine) -> Any:
    """A label map as Slicer's oriented image, sharing the array's memory where x is fastest in it."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*labels.shape)
    image.SetImageToWorldMatrix(matrix_of(affine))
    flat = np.ascontiguousarray(labels.transpose(2, 1, 0), dtype=np.uint8).ravel()
    # The VTK array keeps a reference to `flat`.
    scalars = numpy_to_vtk(flat, deep=False)
    scalars.SetName("labels")
    image.GetPointData().SetScalars(scalars)
    return image


def surfaces(node: Any, labels: NDArray[np.uint8]) -> Iterator[str | None]:
    """Give every segment a closed surface, in steps of some 20 ms: ask for the next when the GUI has time.

    Args:
        node: from `add_segmentation`.
        labels: the same array.

    Yields:
        The name of the segment that has one now, None in between.
    """
    affine = affine_of_labels(node)
    steps = np.maximum(1, np.round(SURFACE_MM / np.linalg.norm(affine[:3, :3], axis=0)).astype(int))
    coarse = np.ascontiguousarray(labels[:: steps[0], :: steps[1], :: steps[2]])
    placed = affine.copy()
    placed[:3, :3] *= steps
    segmentation = node.GetSegmentation()
    for i in range(segmentation.GetNumberOfSegments()):
        yield None
        segment = segmentation.GetNthSegment(i)
        edges = _edges(coarse, segment.GetLabelValue(), placed)
        yield None
        smooth = _smoothed(edges)
        yield None
        segment.AddRepresentation(SURFACE, _with_normals(smooth))
        yield str(segment.GetName())
    node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)
    node.Modified()


def affine_of_labels(node: Any) -> Affine:
    """(4, 4) voxel index → RAS of a segmentation's label map."""
    segment = node.GetSegmentation().GetNthSegment(0)
    matrix = vtk.vtkMatrix4x4()
    segment.GetRepresentation(LABELMAP).GetImageToWorldMatrix(matrix)
    return array_of(matrix)


def _edges(coarse: NDArray[np.uint8], value: int, affine: Affine) -> vtk.vtkPolyData:
    """The stepped surface of one label on a coarse grid, in RAS; empty where the label is nowhere."""
    where = [np.flatnonzero((coarse == value).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not where[0].size:
        return vtk.vtkPolyData()
    first = np.array([found[0] for found in where])
    box = tuple(slice(found[0], found[-1] + 1) for found in where)
    # A layer of background around it, so that the surface is closed at the edge of the scan too.
    mask = np.pad((coarse[box] == value).astype(np.uint8), 1)
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image_of(mask))
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    placed = affine.copy()
    placed[:3, 3] += affine[:3, :3] @ (first - 1)
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix_of(placed))
    to_ras = vtk.vtkTransformPolyDataFilter()
    to_ras.SetTransform(transform)
    to_ras.SetInputConnection(edges.GetOutputPort())
    to_ras.Update()
    return to_ras.GetOutput()


def _smoothed(edges: vtk.vtkPolyData) -> vtk.vtkPolyData:
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(edges)
    smooth.SetNumberOfIterations(_SMOOTHING)
    smooth.SetPassBand(0.05)
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    return smooth.GetOutput()


def _with_normals(surface: vtk.vtkPolyData) -> vtk.vtkPolyData:
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(surface)
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def add_attention_segment(source: Any, heatmap: Any, surface: vtk.vtkPolyData, colour: Colour) -> Any:
    """A heatmap's region as a segment whose name says what it is not; no table counts it.

    Args:
        source: the CT's volume node.
        heatmap: the node it comes from.
        surface: from `scene.region_surface`, in the CT's own space.
        colour: of the segment.

    Returns:
        The segmentation node that collects such regions of this CT.
    """
    existing = provenance.results_in(source.GetScene(), "attention", source)
    node = existing[0] if existing else _attention_node(source)
    segment = slicer.vtkSegment()
    segment.SetName(f"{ATTENTION_NAME}: {heatmap.GetName()}")
    segment.SetColor(*colour)
    segment.AddRepresentation(SURFACE, surface)
    node.GetSegmentation().AddSegment(segment)
    sentence = provenance.fact(heatmap, "sentence")
    if sentence is not None:
        # The segment's name holds words of it: `provenance.forget_text` takes them out again.
        node.SetAttribute(provenance.PREFIX + "sentence", sentence)
    return node


def _attention_node(source: Any) -> Any:
    node = source.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", ATTENTION_NAME.capitalize())
    node.GetSegmentation().SetSourceRepresentationName(SURFACE)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(source)
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName2D(SURFACE)
    display.SetPreferredDisplayRepresentationName3D(SURFACE)
    display.SetOpacity2DFill(0.2)
    display.SetOpacity3D(0.35)
    node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    provenance.mark(node, "attention", source, {})
    place_beside(node, source)
    return node


class MeanHounsfield:
    """Mean HU of every label, added up slab by slab so that the GUI is never held.

    Args:
        source: the CT's volume node.
        labels: (x, y, z) on its grid.
        most: voxels a slab.
    """

    def __init__(self, source: Any, labels: NDArray[np.uint8], most: int = 1 << 19) -> None:
        self._hu = voxels_of(source)
        self._labels = labels
        self._counts = np.zeros(256, dtype=np.int64)
        self._sums = np.zeros(256, dtype=np.float64)
        x, y, self._slices = labels.shape
        self._step = max(1, most // (x * y))
        self._next = 0

    def step(self) -> bool:
        """Add one slab; whether there are more."""
        part = slice(self._next, self._next + self._step)
        labels = self._labels[:, :, part].ravel(order="F")
        inside = np.flatnonzero(labels)
        if inside.size:
            hu = self._hu[:, :, part].ravel(order="F")[inside]
            self._counts += np.bincount(labels[inside], minlength=256)
            self._sums += np.bincount(labels[inside], weights=hu, minlength=256)
        self._next += self._step
        return self._next < self._slices

    def means(self) -> dict[int, float]:
        """Label value → mean HU, of the labels that were met."""
        return {int(value): float(self._sums[value] / self._counts[value]) for value in np.flatnonzero(self._counts)}


def rows_of(node: Any) -> list[Measure]:
    """What `fill_table` wrote."""
    table = node.GetTable()
    rows = []
    for i in range(table.GetNumberOfRows()):
        hu = table.GetValue(i, 2).ToDouble()
        rows.append((table.GetValue(i, 0).ToString(), table.GetValue(i, 1).ToDouble(), None if isnan(hu) else hu))
    return rows


def fill_table(node: Any, rows: list[Measure]) -> None:
    """Write structure, volume and mean HU into a table node.

    Args:
        node: a vtkMRMLTableNode; what it held is replaced.
        rows: one a structure.
    """
    table = vtk.vtkTable()
    names = vtk.vtkStringArray()
    names.SetName("Structure")
    for row in rows:
        names.InsertNextValue(row[0])
    table.AddColumn(names)
    for column, title in ((1, "Volume (mL)"), (2, "Mean (HU)")):
        numbers = vtk.vtkDoubleArray()
        numbers.SetName(title)
        for row in rows:
            number = row[column]
            numbers.InsertNextValue(float("nan") if number is None else round(float(number), 1))  # type: ignore[arg-type]
        table.AddColumn(numbers)
    node.SetAndObserveTable(table)
    node.SetUseColumnTitleAsColumnHeader(True)
