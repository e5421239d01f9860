"""A few sentences on their slices: the reference mask's outline, and beside it what each model draws (paper Fig. 4)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke

from simcrop_core.export.field import shown_bounds
from simcrop_core.export.figure import FAINT, HALO, INK, LEFT, LUNG_WINDOW_HU, RIGHT
from simcrop_core.export.layout import BACKGROUND
from simcrop_core.export.overlay import plane_picture
from simcrop_core.export.planes import VIEWS, Plane, grid_box_outline, plane
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.sampling import sample
from simcrop_core.imaging.volume import Volume
from simcrop_training.evaluate.grounding_benchmark.controls import MODEL
from simcrop_training.evaluate.grounding_benchmark.masks import Region
from simcrop_training.evaluate.grounding_benchmark.measure import Figures, Measured
from simcrop_training.evaluate.grounding_benchmark.tables import Asked

AXIAL = VIEWS[0]
CHOSEN_BY = "dice_at_size"
CAPTION = (
    "Axial slices where the reference mask (cyan) is largest, the patient's right on the left. Best, median and worst "
    "of all sentences by Dice at true size, on average over the models. Colours: each model's own fixed scale, "
    "from cosine 0 on where the weights have none; the white rectangle is the peak's patch, where it meets the slice."
)
_PIXEL_MM = 0.8
_CELL_IN, _WORDS_IN, _HEAD_IN, _EDGE_IN = 3.1, 0.28, 0.32, 0.06
_OUTLINE = "#00e5ff"
_COLUMNS_PER_CELL = 46
Key = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What one model says of a sentence.

    Attributes:
        model: its name.
        heatmap: cosine of every patch; −1 in padding.
        scale: of the weights.
        drawn: whether the engine draws the map.
        evidence: as in the contract.
        figures: of the sentence, as measured.
    """

    model: str
    heatmap: Heatmap
    scale: ColourScale
    drawn: bool
    evidence: str | None
    figures: Figures


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One sentence, as all models have it.

    Attributes:
        place: "best", "median" or "worst".
        text: the sentence.
        volume: the CT.
        region: the reference mask.
        shown: one a model.
    """

    place: str
    text: str
    volume: Volume
    region: Region
    shown: Sequence[Shown]


def numbered(asked: Sequence[Asked]) -> dict[Key, Measured]:
    """Measured sentences by their scan's name and their number in it; those with an empty mask are left out."""
    found: dict[Key, Measured] = {}
    seen: dict[str, int] = {}
    for one in asked:
        number = seen.get(one.scan, 0)
        seen[one.scan] = number + 1
        if one.measured.rows:
            found[one.scan, number] = one.measured
    return found


def chosen(models: Mapping[str, Mapping[Key, Measured]]) -> dict[str, Key]:
    """The best, the median and the worst sentence, on average over models; fewer where there are fewer sentences.

    By Dice at true size, and among equals by the distance of the peak.

    Args:
        models: the measured sentences of each.
    """
    common = set.intersection(*(set(own) for own in models.values())) if models else set()

    def goodness(key: Key) -> tuple[float, float, Key]:
        rows = [own[key].rows[MODEL] for own in models.values()]
        away = [row["distance_mm"] for row in rows]
        return -float(np.mean([row[CHOSEN_BY] for row in rows])), math.inf if np.isnan(away).any() else sum(away), key

    ordered = sorted(common, key=goodness)
    places = {"best": 0, "median": len(ordered) // 2, "worst": len(ordered) - 1}
    found: dict[str, Key] = {}
    for place, at in places.items():
        if ordered and ordered[at] not in found.values():
            found[place] = ordered[at]
    return found


def panels_figure(panels: Sequence[Panel]) -> Figure:
    """A row a sentence: the slice with the reference's outline, then the same with each model's heatmap.

    Args:
        panels: all of the same models in the same order; at least one.
    """
    cuts = [_slice(panel) for panel in panels]
    across = 1 + len(panels[0].shown)
    heights = [_CELL_IN * _height_of(cut) for cut in cuts]
    tall = _HEAD_IN + sum(heights) + len(panels) * _WORDS_IN
    page = Figure(figsize=(across * _CELL_IN, tall), facecolor=BACKGROUND)
    heads = ["reference", *(shown.model for shown in panels[0].shown)]
    for column, words in enumerate(heads):
        _words(page, (column + 0.5) / across, 1 - 0.08 / tall, words, 11, bold=True, centred=True)
    top = tall - _HEAD_IN
    for panel, cut, height in zip(panels, cuts, heights, strict=True):
        _words(page, 0.05 / across, (top - 0.09) / tall, _title(panel, across), 9.5)
        top -= _WORDS_IN
        for column in range(across):
            place = (
                (column * _CELL_IN + _EDGE_IN / 2) / page.get_figwidth(), (top - height) / tall,
                (_CELL_IN - _EDGE_IN) / page.get_figwidth(), (height - _EDGE_IN) / tall,
            )  # fmt: skip
            _draw(page.add_axes(place), panel, cut, panel.shown[column - 1] if column else None)
        top -= height
    return page


def _title(panel: Panel, across: int) -> str:
    words = f"{panel.place}: {panel.text}  ({panel.region.ml:.1f} ml)"
    return textwrap.shorten(words, _COLUMNS_PER_CELL * across, placeholder=" …")


def _slice(panel: Panel) -> Plane:
    """The axial plane on which the mask is largest, as far as there is body."""
    region = panel.region.cropped
    heights = apply(region.affine, np.argwhere(region.voxels))[:, 2]
    thick = max(float(np.abs(region.affine[2, :3]).max()), 1e-3)
    bins = np.round((heights - heights.min()) / thick).astype(np.int64)
    at = float(heights[bins == np.bincount(bins).argmax()].mean())
    bounds = shown_bounds(panel.volume, panel.shown[0].heatmap if panel.shown else None, None)
    x, y, _ = (float(c) for c in bounds.mean(axis=0))
    return plane(AXIAL, bounds, (x, y, at), _PIXEL_MM)


def _height_of(cut: Plane) -> float:
    left, right, bottom, top = cut.extent_mm
    return (top - bottom) / (left - right)


def _draw(axes: Axes, panel: Panel, cut: Plane, shown: Shown | None) -> None:
    heatmap = shown.heatmap if shown is not None and shown.drawn else None
    scale = shown.scale if shown is not None else ColourScale(0.0, 1.0)
    picture = plane_picture(cut, panel.volume, heatmap, scale, LUNG_WINDOW_HU)
    axes.imshow(picture, extent=cut.extent_mm, interpolation="bilinear", aspect="auto")
    axes.autoscale(False)
    axes.set_axis_off()
    inside = sample(panel.region.voxels.astype(np.float32), panel.region.affine, cut.points_ras_mm, outside=0.0)
    axes.contour(
        cut.points_ras_mm[..., 0], cut.points_ras_mm[..., 1], inside, levels=[0.5], colors=[_OUTLINE], linewidths=1.1
    )
    for letter, (x, y, across, up) in zip(cut.view.letters[:2], (LEFT, RIGHT), strict=True):
        words = axes.text(x, y, letter, ha=across, va=up, transform=axes.transAxes, path_effects=HALO)
        words.set(color=INK, fontsize=10, fontweight="bold")
    if shown is None:
        return
    _outline_peak(axes, cut, shown)
    stroke = [withStroke(linewidth=2.5, foreground="black")]
    axes.text(
        0.5, 0.02, _said(shown), color=INK, fontsize=7.5, ha="center", va="bottom", transform=axes.transAxes,
        path_effects=stroke,
    )  # fmt: skip


def _outline_peak(axes: Axes, cut: Plane, shown: Shown) -> None:
    index = np.unravel_index(int(shown.heatmap.scores.argmax()), shown.heatmap.scores.shape)
    outline = grid_box_outline(shown.heatmap.affine, np.asarray(index), cut.view, cut.at_mm)
    if len(outline):
        line = "-" if shown.drawn else ":"
        axes.add_patch(Polygon(outline, fill=False, edgecolor="white", linewidth=1.2, linestyle=line))


def _said(shown: Shown) -> str:
    """Such as "located, Dice 0.41, peak 0 mm"."""
    parts = [shown.evidence] if shown.evidence else []
    if not shown.drawn:
        parts.append("nothing drawn")
    parts.append(f"Dice {shown.figures[CHOSEN_BY]:.2f}")
    if not math.isnan(shown.figures["distance_mm"]):
        parts.append(f"peak {shown.figures['distance_mm']:.0f} mm off")
    return ", ".join(parts)


def _words(
    page: Figure, x: float, y: float, text: str, size: float, *, bold: bool = False, centred: bool = False
) -> None:
    words = page.text(x, y, text, va="top", ha="center" if centred else "left", parse_math=False)
    words.set(color=INK if bold else FAINT, fontsize=size, fontweight="bold" if bold else "normal")
