"""Pictures as data inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

EMBEDDED_DPI = 140
# Full chroma: the coloured heat has edges too.
JPEG: dict[str, Any] = {"quality": 84, "subsampling": 0, "optimize": True}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def embedded(page: Figure) -> Picture:
    """A figure as a JPEG of about 100 kB."""
    data = io.BytesIO()
    page.savefig(data, format="jpg", dpi=EMBEDDED_DPI, pil_kwargs=JPEG)
    width, height = (int(inches * EMBEDDED_DPI) for inches in page.get_size_inches())
    return Picture(_uri("image/jpeg", data.getvalue()), width, height)


def embedded_pixels(rgb: NDArray[np.float32]) -> str:
    """An (rows, columns, 3) array, 0 to 1, as the data URI of a PNG."""
    data = io.BytesIO()
    imsave(data, rgb, format="png")
    return _uri("image/png", data.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
