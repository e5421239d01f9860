"""One sentence as a picture: three planes through its peak, as in the paper's Figure 4."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from simcrop_core.errors import CannotWrite
from simcrop_core.export.atomic import replacing
from simcrop_core.export.planes import VIEWS, Bounds, Plane, Point, grid_box_outline, plane
from simcrop_core.export.wording import (
    MARKS,
    SCALE_LABEL,
    peak_words,
    score_words,
    side_conflict_words,
    why_not_drawn,
)
from simcrop_core.imaging.heatmap import ColourScale, Heatmap, grid_bounds_ras_mm
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.sampling import sample
from simcrop_core.imaging.volume import Volume
from simcrop_core.results import SentenceResult

LUNG_WINDOW_HU = (-1350.0, 150.0)
PIXEL_MM = 0.6
MARGIN_MM = 24.0
COARSE_MM, BODY_HU, TABLE_SHARE = 8.0, -300.0, 0.05
RULER_MM = 50.0
FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")
WIDTH_INCHES = 12.0
DPI = 150

BACKGROUND, INK, FAINT, AMBER = "#0b0d10", "#f2f4f7", "#9aa4b2", "#ffb000"
# The dark end of the map would vanish over lung; what is left rises in lightness all the way.
HEAT = ListedColormap(colormaps["plasma"](np.linspace(0.30, 1.0, 256)), name="heat")
FAINTEST, STRONGEST = 0.28, 0.48
HALO = [withStroke(linewidth=3, foreground="black")]


def overlay(scores: NDArray[np.float32], scale: ColourScale) -> NDArray[np.float32]:
    """Scores as colours over a CT: opacity rises along the scale, and is 0 below it and where there is no score.

    Args:
        scores: (rows, columns) cosine similarity; NaN where the model did not look.
        scale: of the weights.

    Returns:
        (rows, columns, 4) RGBA, 0 to 1.
    """
    along = scale.position(scores)
    drawn = np.isfinite(along)
    rgba: NDArray[np.float32] = HEAT(np.where(drawn, along, 0.0)).astype(np.float32)
    rgba[..., 3] = np.where(drawn, FAINTEST + (STRONGEST - FAINTEST) * along, 0.0)
    return rgba


def figure(
    volume: Volume,
    heatmap: Heatmap | None,
    sentence: SentenceResult,
    scale: ColourScale,
    *,
    titled: bool = True,
    draw_absent: bool = False,
    window_hu: tuple[float, float] = LUNG_WINDOW_HU,
) -> Figure:
    """Axial, coronal and sagittal planes through a sentence's peak, its heatmap on top, its words above.

    Planes are cut in patient axes, whatever the storage order or tilt, in true proportions and radiological convention.
    The rectangle is the best patch: the peak is no finer than that. Where there is nothing to show (negated, not
    located, not groundable, below the threshold), the planes go through the middle and a caption says why.

    Args:
        volume: the CT.
        heatmap: the sentence's scores; None where it has none.
        sentence: the result.
        scale: of the weights, the same for all their figures.
        titled: write the sentence and its facts above the planes.
        draw_absent: draw sentences too that say that something is absent or normal.
        window_hu: HU shown as black and as white.
    """
    silence = why_not_drawn(sentence, heatmap, scale, draw_absent=draw_absent)
    shown = heatmap if silence is None else None
    through = sentence.peak_ras_mm if shown is not None else None
    bounds = _field(volume, heatmap, through)
    planes = [plane(view, bounds, through or _middle(bounds), PIXEL_MM) for view in VIEWS]
    title = _title_lines(sentence, silence) if titled else []
    picture, places, bar = _laid_out(planes, title)
    for axes, cut in zip(places, planes, strict=True):
        _draw_plane(axes, cut, volume, window_hu)
        if shown is not None:
            axes.imshow(overlay(shown.sample(cut.points_ras_mm), scale), extent=cut.extent_mm, interpolation="bilinear")
            _draw_peak(axes, cut, shown, sentence)
    if shown is not None:
        _draw_bar(bar, scale)
    else:
        bar.set_axis_off()
    return picture


def write_figure(
    path: str | Path,
    volume: Volume,
    heatmap: Heatmap | None,
    sentence: SentenceResult,
    scale: ColourScale,
    *,
    draw_absent: bool = False,
    window_hu: tuple[float, float] = LUNG_WINDOW_HU,
) -> None:
    """Write `figure` to a .png, .jpg, .webp, .pdf or .svg file.

    Raises:
        CannotWrite: another suffix, or the file cannot be written.
    """
    if not Path(path).name.lower().endswith(FORMATS):
        raise CannotWrite(
            f"{Path(path).name} does not end in a picture format this writes.", hint=f"Use one of {', '.join(FORMATS)}."
        )
    drawn = figure(volume, heatmap, sentence, scale, draw_absent=draw_absent, window_hu=window_hu)
    with replacing(path) as temporary:
        drawn.savefig(temporary, dpi=DPI)


def _field(volume: Volume, heatmap: Heatmap | None, peak: Point | None) -> Bounds:
    """The box to show: the body, as far as the model saw it and a patch more; the peak in any case."""
    bounds = grid_bounds_ras_mm(volume.shape, volume.affine)
    if heatmap is not None:
        seen = heatmap.bounds_ras_mm()
        bounds = np.stack([np.maximum(bounds[0], seen[0] - MARGIN_MM), np.minimum(bounds[1], seen[1] + MARGIN_MM)])
    body = _body(volume, bounds)
    if peak is None:
        return body
    return np.stack([np.minimum(body[0], np.subtract(peak, MARGIN_MM)), np.maximum(body[1], np.add(peak, MARGIN_MM))])


def _body(volume: Volume, bounds: Bounds) -> Bounds:
    """The part of a box that is not just air and table; the box itself where there is no body in it."""
    steps = [np.arange(low + COARSE_MM / 2, high, COARSE_MM) for low, high in bounds.T]
    body = sample(volume.voxels, volume.affine, np.stack(np.meshgrid(*steps, indexing="ij"), -1), outside=-1024) > BODY_HU
    trimmed = bounds.copy()
    for axis in range(3):
        share = body.mean(axis=tuple({0, 1, 2} - {axis}))
        kept = np.flatnonzero(share > TABLE_SHARE)
        if kept.size:
            trimmed[:, axis] = steps[axis][kept[0]] - MARGIN_MM / 2, steps[axis][kept[-1]] + MARGIN_MM / 2
    return np.stack([np.maximum(trimmed[0], bounds[0]), np.minimum(trimmed[1], bounds[1])])


def _middle(bounds: Bounds) -> Point:
    x, y, z = (float(c) for c in bounds.mean(axis=0))
    return x, y, z


Words = tuple[str, str, float, bool]  # text, colour, size in points, bold


def _title_lines(sentence: SentenceResult, silence: str | None) -> list[Words]:
    """The sentence, then its facts, then what to be careful about."""
    lines: list[Words] = [(line, INK, 15, True) for line in textwrap.wrap(sentence.text, 92)]
    facts = [f"{MARKS[sentence.evidence]} {sentence.evidence}"] if sentence.evidence else []
    if silence is None:
        facts += [words for words in (score_words(sentence), peak_words(sentence)) if words]
    if facts:
        lines.append(("   ·   ".join(facts), FAINT, 11, False))
    if silence is not None:
        lines.append((silence, INK, 11, False))
    elif sentence.side_conflict:
        lines.append((f"▲ {side_conflict_words(sentence)}", AMBER, 11, True))
    return lines


def _laid_out(planes: list[Plane], title: list[Words]) -> tuple[Figure, list[Axes], Axes]:
    """An empty figure with the words, one place for each plane, all at one scale, and one for the colour bar."""
    edge, gap, bar_width, line = 0.2, 0.08, 1.05, 1.5 / 72
    sizes = [(p.extent_mm[0] - p.extent_mm[1], p.extent_mm[3] - p.extent_mm[2]) for p in planes]
    inch_per_mm = (WIDTH_INCHES - 2 * edge - 2 * gap - bar_width) / sum(width for width, _ in sizes)
    tallest = inch_per_mm * max(height for _, height in sizes)
    words_height = sum(size * line for _, _, size, _ in title) + (edge if title else 0)
    height = tallest + words_height + 2 * edge

    picture = Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(picture)
    top = height - edge
    for text, colour, size, bold in title:
        picture.text(
            edge / WIDTH_INCHES, top / height, text, color=colour, fontsize=size, va="top", parse_math=False,
            fontweight="bold" if bold else "normal",
        )
        top -= size * line
    places, left = [], edge
    for width, tall in sizes:
        box = (left, edge + (tallest - tall * inch_per_mm) / 2, width * inch_per_mm, tall * inch_per_mm)
        places.append(picture.add_axes(_fractions(box, height)))
        left += width * inch_per_mm + gap
    bar = picture.add_axes(_fractions((left + 0.22, edge + 0.12 * tallest, 0.18, 0.76 * tallest), height))
    return picture, places, bar


def _fractions(inches: tuple[float, float, float, float], height: float) -> tuple[float, float, float, float]:
    left, bottom, width, tall = inches
    return left / WIDTH_INCHES, bottom / height, width / WIDTH_INCHES, tall / height


def _draw_plane(axes: Axes, cut: Plane, volume: Volume, window_hu: tuple[float, float]) -> None:
    """The CT in grey, with letters for the patient's directions and, under the axial plane, a ruler."""
    hu = sample(volume.voxels, volume.affine, cut.points_ras_mm, outside=window_hu[0])
    axes.imshow(hu, cmap="gray", vmin=window_hu[0], vmax=window_hu[1], extent=cut.extent_mm, interpolation="bilinear")
    axes.set_axis_off()
    for letter, (x, y) in zip(cut.view.letters, ((0.02, 0.5), (0.98, 0.5), (0.5, 0.98), (0.5, 0.02)), strict=True):
        axes.text(
            x, y, letter, transform=axes.transAxes, color=INK, fontsize=11, fontweight="bold",
            ha={0.02: "left", 0.98: "right"}.get(x, "center"), va={0.02: "bottom", 0.98: "top"}.get(y, "center"),
            path_effects=HALO,
        )
    axes.text(0.02, 0.98, cut.view.name, transform=axes.transAxes, color=INK, fontsize=9, va="top", path_effects=HALO)
    if cut.view.name == "axial":
        left, _, bottom, _ = cut.extent_mm
        axes.plot([left - 8, left - 8 - RULER_MM], [bottom + 8] * 2, color=INK, linewidth=2, path_effects=HALO)
        axes.text(left - 8, bottom + 12, f"{RULER_MM / 10:.0f} cm", color=INK, fontsize=9, path_effects=HALO)


def _draw_peak(axes: Axes, cut: Plane, heatmap: Heatmap, sentence: SentenceResult) -> None:
    """The outline of the best patch; dashed where the evidence is weak."""
    index = np.rint(index_in(heatmap.affine, sentence.peak_ras_mm))
    outline = grid_box_outline(heatmap.affine, index, cut.view, cut.at_mm)
    style = "--" if sentence.evidence == "weak" else "-"
    axes.add_patch(Polygon(outline, fill=False, edgecolor="white", linewidth=1.3, linestyle=style))


def _draw_bar(axes: Axes, scale: ColourScale) -> None:
    """The fixed scale, in the colours as they look over grey."""
    steps = np.linspace(scale.low, scale.high, 256, dtype=np.float32)[:, None]
    axes.imshow(overlay(steps, scale), extent=(0, 1, scale.low, scale.high), origin="lower", aspect="auto")
    axes.set_facecolor("#3a3a3a")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    middle = (scale.low + scale.high) / 2
    axes.set_yticks([scale.low, middle, scale.high], [f"{scale.low:.2f}", f"{middle:.2f}", f"≥ {scale.high:.2f}"])
    axes.tick_params(colors=FAINT, labelsize=8.5, length=2)
    axes.set_ylabel(SCALE_LABEL, color=FAINT, fontsize=8.5)
    axes.set_xlabel("below:\nnot drawn", color=FAINT, fontsize=8.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
