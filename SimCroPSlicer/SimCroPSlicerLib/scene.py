"""Heatmaps in the scene: each on its own patch grid, with its peak and outline, beside its volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from SimCroPSlicerLib import palette, provenance
from SimCroPSlicerLib.geometry import Affine, Point, affine_of, matrix_of, patch_axes, world_point
from SimCroPSlicerLib.hierarchy import place_beside
from SimCroPSlicerLib.voxels import voxels_of

NAME_LENGTH = 60


def short_name(sentence: str) -> str:
    """A sentence as a node's name: one line that fits a selector."""
    line = " ".join(sentence.split())
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1].rstrip() + "…"


def image_of(array: NDArray[Any]) -> vtk.vtkImageData:
    """(x, y, z) numbers as VTK image data with unit spacing, as volume nodes want it; copied."""
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape)
    flat = np.ascontiguousarray(array.transpose(2, 1, 0)).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    return image


def add_heatmap(
    source: Any,
    scores: NDArray[np.float32],
    affine: Affine,
    sentence: str,
    *,
    scale: tuple[float, float],
    facts: Mapping[str, Any],
    provisional: bool = False,
) -> Any:
    """Put one sentence's scores into the scene as a volume on the patch grid; Slicer interpolates when it draws.

    Args:
        source: the CT's volume node.
        scores: (X, Y, Z) cosine similarity.
        affine: (4, 4) patch index → RAS of the patch's centre, mm, in the CT's own space.
        sentence: names the node.
        scale: (low, high): nothing is drawn below `low`; the colour is strongest from `high` on.
        facts: of provenance (weights, version, result).
        provisional: draw in grey: the answer to a sentence still being typed.

    Returns:
        The heatmap's volume node, under the CT's transform.
    """
    scene = source.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", short_name(sentence))
    node.CreateDefaultDisplayNodes()
    set_scores(node, scores, affine)
    node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    display_on_scale(node, scale, provisional=provisional)
    provenance.mark(
        node, "heatmap", source, {"sentence": None if provisional else sentence, "scale": list(scale), **facts}
    )
    place_beside(node, source)
    return node


def set_scores(node: Any, scores: NDArray[np.float32], affine: Affine) -> None:
    """Give a heatmap node other scores (the sentence being typed has changed)."""
    node.SetIJKToRASMatrix(matrix_of(affine))
    node.SetAndObserveImageData(image_of(np.asarray(scores, dtype=np.float32)))


def display_on_scale(
    node: Any,
    scale: tuple[float, float],
    *,
    threshold: float | None = None,
    provisional: bool = False,
    ramp: str = palette.FIRST_RAMP,
) -> None:
    """Draw a heatmap on the fixed scale of its weights, never on its own range.

    Args:
        node: the heatmap.
        scale: (low, high) of the weights.
        threshold: hide what is below, where that is higher than the scale's own lower end.
        provisional: in grey.
        ramp: of `palette.RAMPS`.
    """
    low, high = scale
    display = node.GetDisplayNode()
    colours = palette.heat_colours(node.GetScene(), low, high, provisional=provisional, ramp=ramp)
    display.SetAndObserveColorNodeID(colours.GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    display.SetInterpolate(True)
    display.AutoThresholdOff()
    display.SetThreshold(max(low, threshold if threshold is not None else low), 1.0)
    display.SetApplyThreshold(True)


def add_peak_box(source: Any, peak_ras_mm: Point, affine: Affine, name: str, facts: Mapping[str, Any]) -> Any:
    """Outline the patch that fits best: a peak is a box of ± half a patch, never a point.

    Args:
        source: the CT's volume node.
        peak_ras_mm: centre of the patch, in the CT's own space.
        affine: of the patch grid, for the directions and edges of the box.
        name: of the node.
        facts: of provenance.

    Returns:
        A locked markups ROI without handles.
    """
    directions, edges = patch_axes(affine)
    directions[:3, 3] = peak_ras_mm
    roi = source.GetScene().AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    roi.CreateDefaultDisplayNodes()
    roi.SetAndObserveObjectToNodeMatrix(matrix_of(directions))
    roi.SetSize(*edges)
    roi.SetLocked(True)
    display = roi.GetDisplayNode()
    display.SetHandlesInteractive(False)
    display.SetFillVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetGlyphScale(0.0)
    for set_colour in (display.SetColor, display.SetSelectedColor):
        set_colour(1.0, 1.0, 1.0)
    roi.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    provenance.mark(roi, "peak", source, facts)
    place_beside(roi, source)
    return roi


def move_peak_box(roi: Any, peak_ras_mm: Point, affine: Affine) -> None:
    """Put the outline around another patch."""
    directions, edges = patch_axes(affine)
    directions[:3, 3] = peak_ras_mm
    roi.SetAndObserveObjectToNodeMatrix(matrix_of(directions))
    roi.SetSize(*edges)


def region_surface(scores: NDArray[np.float32], affine: Affine, threshold: float) -> vtk.vtkPolyData:
    """The closed surface around what is drawn, where scores interpolated between patches reach the threshold.

    Beyond the grid nothing is known: the region ends half a patch outside the outermost patch centres.
    """
    # The edge value holds for half a patch, then drops: two layers of padding put the cut there.
    held = np.pad(np.asarray(scores, dtype=np.float32), 1, mode="edge")
    padded = np.pad(held, 1, constant_values=-1e3)
    index = vtk.vtkImageData()
    index.ShallowCopy(image_of(padded))
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(index)
    contour.SetValue(0, threshold)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    surface = contour.GetOutput()
    _clamp_to_grid(surface, scores.shape)
    placed = affine.copy()
    to_ras = vtk.vtkTransformPolyDataFilter()
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix_of(placed))
    to_ras.SetTransform(transform)
    to_ras.SetInputData(surface)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(to_ras.GetOutputPort())
    normals.AutoOrientNormalsOn()
    normals.ConsistencyOn()
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _clamp_to_grid(surface: vtk.vtkPolyData, shape: tuple[int, ...]) -> None:
    """From padded indices to the grid's own, and never more than half a patch beyond it."""
    points = vtk.vtkPoints()
    for i in range(surface.GetNumberOfPoints()):
        point = np.asarray(surface.GetPoint(i)) - 2
        points.InsertNextPoint(*np.clip(point, -0.5, np.asarray(shape) - 0.5))
    surface.SetPoints(points)


def add_outline(source: Any, heatmap: Any, threshold: float, colour: palette.Colour) -> Any:
    """The heatmap's region as a contour in its own colour: several sentences can be seen at once.

    Returns:
        A model node: lines in the slices, a see-through surface in 3D.
    """
    surface = region_surface(scores_of(heatmap), affine_of(heatmap), threshold)
    model = source.GetScene().AddNewNodeByClass("vtkMRMLModelNode", heatmap.GetName())
    model.SetAndObservePolyData(surface)
    model.CreateDefaultDisplayNodes()
    display = model.GetDisplayNode()
    display.SetColor(*colour)
    display.SetOpacity(0.35)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(2)
    display.SetBackfaceCulling(False)
    model.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    facts = {"sentence": provenance.fact(heatmap, "sentence"), "threshold": threshold, "colour": list(colour)}
    provenance.mark(model, "outline", source, facts)
    place_beside(model, source)
    return model


def scores_of(heatmap: Any) -> NDArray[np.float32]:
    """(X, Y, Z) scores of a heatmap node."""
    return np.asarray(voxels_of(heatmap), dtype=np.float32)


def peaks_of(heatmap: Any, threshold: float, most: int = 5) -> list[Point]:
    """Centres of the local maxima at or above a threshold, best first, in the world (RAS, mm).

    A patch counts where none of its 26 neighbours has a higher score.
    """
    scores = scores_of(heatmap)
    padded = np.pad(scores, 1, constant_values=-np.inf)
    x, y, z = scores.shape
    highest = np.full(scores.shape, -np.inf, dtype=np.float32)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                np.maximum(highest, padded[i : i + x, j : j + y, k : k + z], out=highest)
    indices = np.argwhere((scores >= threshold) & (scores == highest))
    best_first = sorted(indices.tolist(), key=lambda index: -float(scores[tuple(index)]))[:most]
    affine = affine_of(heatmap)
    return [world_point(heatmap, (affine @ [*index, 1])[:3].tolist()) for index in best_first]
