"""What the views show, as one picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from slicer import vtkMRMLLayerDisplayableManager
from vtk import vtkImageData
from vtk.util.numpy_support import vtk_to_numpy

Pixels = NDArray[np.uint8]


def picture_of(view: Any) -> Pixels:
    """(rows, columns, 3) of one view as it is drawn now, first row on top."""
    image = vtkImageData()
    view.render_window().Render()
    vtkMRMLLayerDisplayableManager.RenderWindowBufferToImage(view.render_window(), image)
    columns, rows, _ = image.GetDimensions()
    pixels: Pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
    return pixels[::-1, :, :3].copy()


def together(grid: list[list[Pixels]]) -> Pixels:
    """Pictures row by row in one, on black where they differ in size."""
    rows = [_beside(row, axis=1) for row in grid]
    return _beside(rows, axis=0)


def _beside(pictures: list[Pixels], axis: int) -> Pixels:
    other = 1 - axis
    most = max(picture.shape[other] for picture in pictures)
    padded = []
    for picture in pictures:
        room = [(0, 0), (0, 0), (0, 0)]
        room[other] = (0, most - picture.shape[other])
        padded.append(np.pad(picture, room))
    return np.concatenate(padded, axis=axis)


def png(pixels: Pixels) -> bytes:
    """As a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
