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
VIRIDIS: tuple[Colour, ...] = (
    (0.207, 0.372, 0.553),
    (0.164, 0.471, 0.558),
    (0.128, 0.567, 0.551),
    (0.135, 0.659, 0.518),
    (0.267, 0.749, 0.441),
    (0.478, 0.821, 0.318),
    (0.741, 0.873, 0.150),
    (0.993, 0.906, 0.144),
)
CIVIDIS: tuple[Colour, ...] = (
    (0.264, 0.308, 0.423),
    (0.363, 0.381, 0.432),
    (0.455, 0.457, 0.459),
    (0.555, 0.538, 0.471),
    (0.660, 0.620, 0.452),
    (0.773, 0.710, 0.406),
    (0.888, 0.804, 0.329),
    (0.996, 0.909, 0.218),
)
# What a heatmap may be drawn in; the scale stays the weights' own in each.
RAMPS: dict[str, tuple[Colour, ...]] = {"plasma": HEAT, "viridis": VIRIDIS, "cividis": CIVIDIS}
FIRST_RAMP = "plasma"
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


def heat_colours(scene: Any, low: float, high: float, *, provisional: bool = False, ramp: str = FIRST_RAMP) -> Any:
    """The colour node for heatmaps of one scale: `low` has the faintest colour, `high` the strongest.

    One node a scale: heatmaps of the same weights share it, in this scene and when it is loaded again.
    """
    name = HEAT_NODE if ramp == FIRST_RAMP else f"{HEAT_NODE} ({ramp})"
    name = PROVISIONAL_NODE if provisional else name
    nodes = scene.GetNodesByClassByName("vtkMRMLProceduralColorNode", name)
    for i in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(i)
        if node.GetColorTransferFunction().GetRange() == (low, high):
            return node
    function = vtk.vtkColorTransferFunction()
    colours = PROVISIONAL if provisional else RAMPS[ramp]
    for i, colour in enumerate(colours):
        function.AddRGBPoint(low + (high - low) * i / (len(colours) - 1), *colour)
    node = scene.AddNewNodeByClass("vtkMRMLProceduralColorNode", name)
    node.SetAndObserveColorTransferFunction(function)
    node.SetHideFromEditors(True)
    return node
