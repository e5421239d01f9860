"""Where the words, the three planes and the colour bar of a figure stand."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simcrop_core.export.planes import Plane

BACKGROUND = "#0b0d10"
WIDTH, EDGE, GAP = 12.0, 0.2, 0.08  # inches
BAR_SPACE, BAR_LEFT, BAR_WIDTH = 1.05, 0.22, 0.18
LINE_SPACING = 1.5 / 72  # inches per point of size


@dataclass(frozen=True, slots=True)
class Line:
    """One line of words above the planes; size in points."""

    text: str
    colour: str
    size: float
    bold: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """An empty figure and its places: axes for each plane, all at one scale, and for the colour bar."""

    page: Figure
    planes: list[Axes]
    bar: Axes


def lay_out(planes: list[Plane], lines: list[Line], dpi: float) -> Layout:
    """Make a figure of fixed width, as high as its lines and its tallest plane need."""
    sizes_mm = [(p.extent_mm[0] - p.extent_mm[1], p.extent_mm[3] - p.extent_mm[2]) for p in planes]
    scale = (WIDTH - 2 * EDGE - 2 * GAP - BAR_SPACE) / sum(width for width, _ in sizes_mm)
    tallest = scale * max(height for _, height in sizes_mm)
    words = sum(line.size * LINE_SPACING for line in lines) + (EDGE if lines else 0)
    height = tallest + words + 2 * EDGE

    page = Figure(figsize=(WIDTH, height), dpi=dpi, facecolor=BACKGROUND)
    FigureCanvasAgg(page)
    _write_lines(page, lines, height)

    def place(left: float, bottom: float, width: float, tall: float) -> Axes:
        return page.add_axes((left / WIDTH, bottom / height, width / WIDTH, tall / height))

    places, left = [], EDGE
    for width_mm, height_mm in sizes_mm:
        width, tall = scale * width_mm, scale * height_mm
        places.append(place(left, EDGE + (tallest - tall) / 2, width, tall))
        left += width + GAP
    return Layout(page, places, place(left + BAR_LEFT, EDGE + 0.12 * tallest, BAR_WIDTH, 0.76 * tallest))


def _write_lines(page: Figure, lines: list[Line], height: float) -> None:
    """From the top down; "$" stays a dollar sign."""
    top = height - EDGE
    for line in lines:
        words = page.text(EDGE / WIDTH, top / height, line.text, va="top", parse_math=False)
        words.set(color=line.colour, fontsize=line.size, fontweight="bold" if line.bold else "normal")
        top -= line.size * LINE_SPACING
