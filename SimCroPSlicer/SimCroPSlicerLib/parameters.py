"""What of the panel is kept in the scene: choices, never words of a report."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from SimCroPSlicerLib.images import BY_NUMBER, FROM_FEET, FROM_HEAD


@parameterNodeWrapper
class SimCroPParameters:
    """The panel's parameter node.

    Attributes:
        inputVolume: the CT.
        opacity: of the overlay.
        threshold: cosine below which nothing is drawn, where that is above the weights' own scale.
        outlineOnly: contours instead of colours.
        showPeakBox: outline the best patch.
        showSurfaces: make 3D surfaces of segments.
        imageCount: how a report's "image 112" is counted.
        device: where a local engine computes.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.6
    threshold: Annotated[float, WithinRange(-1.0, 1.0)] = -1.0
    outlineOnly: bool = False
    showPeakBox: bool = True
    showSurfaces: bool = False
    imageCount: Annotated[str, Choice([BY_NUMBER, FROM_HEAD, FROM_FEET])] = BY_NUMBER
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
