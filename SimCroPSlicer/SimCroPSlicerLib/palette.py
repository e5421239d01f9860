"""Colours that read without colour vision: one ramp for a heatmap, one colour a sentence where several are shown."""

from __future__ import annotations

from typing import Any

import vtk

Colour = tuple[float, float, float]

# Lightness rises all the way (the plasma map without its dark end, which would vanish over lung).
HEAT: tuple[Colour, ...] = (
    (0.563, 0.052, 0.642),
    (0.693, 0.165, 0.565),
    (0.798, 0.280, 0.470),
    (0.881, 0.393, 0.383),
    (0.949, 0.518, 0.296),
    (0.988, 0.652, 0.211),
    (0.989, 0.810, 0.145),
    (0.940, 0.975, 0.131),
)
PROVISIONAL: tuple[Colour, ...] = ((0.45, 0.45, 0.45), (0.85, 0.85, 0.85))
# Okabe and Ito's colours, without black.
SENTENCES: tuple[Colour, ...] = (
    (0.902, 0.624, 0.000),
    (0.337, 0.706, 0.914),
    (0.000, 0.620, 0.451),
    (0.941, 0.894, 0.259),
    (0.800, 0.475, 0.655),
    (0.835, 0.369, 0.000),
    (0.000, 0.447, 0.698),
)
HEAT_NODE, PROVISIONAL_NODE = "SimCroP heat", "SimCroP heat (provisional)"


def sentence_colour(index: int) -> Colour:
    """The colour of the n-th sentence shown at once; they come round again after seven."""
    return SENTENCES[index % len(SENTENCES)]


def heat_colours(scene: Any, low: float, high: float, *, provisional: bool = False) -> Any:
    """The colour node for heatmaps of one scale: `low` has the faintest colour, `high` the strongest.

    One node a scale: heatmaps of the same weights share it, in this scene and when it is loaded again.
    """
    name = PROVISIONAL_NODE if provisional else HEAT_NODE
    nodes = scene.GetNodesByClassByName("vtkMRMLProceduralColorNode", name)
    for i in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(i)
        if node.GetColorTransferFunction().GetRange() == (low, high):
            return node
    function = vtk.vtkColorTransferFunction()
    ramp = PROVISIONAL if provisional else HEAT
    for i, colour in enumerate(ramp):
        function.AddRGBPoint(low + (high - low) * i / (len(ramp) - 1), *colour)
    node = scene.AddNewNodeByClass("vtkMRMLProceduralColorNode", name)
    node.SetAndObserveColorTransferFunction(function)
    node.SetHideFromEditors(True)
    return node
