"""One sentence as a picture: three planes through its peak, as in the paper's Figure 4."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke

from simcrop_core import __version__
from simcrop_core.errors import CannotWrite
from simcrop_core.export.atomic import replacing
from simcrop_core.export.field import shown_bounds
from simcrop_core.export.layout import Line, lay_out
from simcrop_core.export.overlay import plane_picture, tinted
from simcrop_core.export.planes import VIEWS, Plane, Point, grid_box_outline, plane
from simcrop_core.export.provenance import as_text
from simcrop_core.export.wording import (
    MARKS,
    SCALE_LABEL,
    peak_words,
    score_words,
    side_conflict_words,
    why_not_drawn,
)
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.volume import Volume
from simcrop_core.results import SentenceResult

LUNG_WINDOW_HU = (-1350.0, 150.0)
PIXEL_MM = 0.6  # of the sampled planes; about one pixel of a figure of a whole chest
DPI = 150
FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")

INK, FAINT, AMBER = "#f2f4f7", "#9aa4b2", "#ffb000"
HALO = [withStroke(linewidth=3, foreground="black")]
TITLE_COLUMNS, TITLE_LINES = 92, 4
RULER_MM, RULER_INSET_MM = 50.0, 8.0
LEFT, RIGHT = (0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center")
TOP, BOTTOM = (0.5, 0.98, "center", "top"), (0.5, 0.02, "center", "bottom")


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
    shown, peak = (heatmap, sentence.peak_ras_mm) if silence is None else (None, None)
    bounds = shown_bounds(volume, heatmap, peak)
    x, y, z = (float(c) for c in bounds.mean(axis=0))
    planes = [plane(view, bounds, peak or (x, y, z), PIXEL_MM) for view in VIEWS]
    layout = lay_out(planes, _title(sentence, silence) if titled else [], DPI)
    for axes, cut in zip(layout.planes, planes, strict=True):
        picture = plane_picture(cut, volume, shown, scale, window_hu)
        axes.imshow(picture, extent=cut.extent_mm, interpolation="bilinear")
        axes.autoscale(False)
        axes.set_axis_off()
        _label(axes, cut)
        if shown is not None and peak is not None:
            _outline_peak(axes, cut, shown, peak, dashed=sentence.evidence == "weak")
    if shown is None:
        layout.bar.remove()
    else:
        _draw_bar(layout.bar, scale)
    return layout.page


def write_figure(
    path: str | Path,
    volume: Volume,
    heatmap: Heatmap | None,
    sentence: SentenceResult,
    scale: ColourScale,
    *,
    draw_absent: bool = False,
    window_hu: tuple[float, float] = LUNG_WINDOW_HU,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write `figure` to a .png, .jpg, .webp, .pdf or .svg file, the same bytes whenever it is written.

    Args:
        path: of the file.
        volume: the CT.
        heatmap: the sentence's scores; None where it has none.
        sentence: the result.
        scale: of the weights.
        draw_absent: draw sentences too that say that something is absent or normal.
        window_hu: HU shown as black and as white.
        facts: how it was made (`provenance.facts_of`): kept in .png, .pdf and .svg.

    Raises:
        CannotWrite: another suffix, or the file cannot be written.
    """
    if not Path(path).name.lower().endswith(FORMATS):
        raise CannotWrite(
            f"{Path(path).name} does not end in a picture format this writes.", hint=f"Use one of {', '.join(FORMATS)}."
        )
    page = figure(volume, heatmap, sentence, scale, draw_absent=draw_absent, window_hu=window_hu)
    metadata = _metadata(Path(path).suffix.lower(), as_text(facts or {}))
    with replacing(path) as temporary, rc_context({"svg.hashsalt": "simcrop"}):
        page.savefig(temporary, metadata=metadata)


def _metadata(suffix: str, facts: str) -> dict[str, Any] | None:
    """Who made it and how, without the time of day, in the words of each format; JPEG and WebP have none."""
    software = f"SimCroP {__version__}"
    if suffix == ".png":
        return {"Software": software, "Comment": facts}
    if suffix == ".pdf":
        return {"Creator": software, "Subject": facts, "CreationDate": None}
    if suffix == ".svg":
        return {"Creator": software, "Description": facts, "Date": None}
    return None


def _title(sentence: SentenceResult, silence: str | None) -> list[Line]:
    """The sentence, then its facts, then what to be careful about."""
    wrapped = textwrap.wrap(sentence.text, TITLE_COLUMNS, max_lines=TITLE_LINES, placeholder=" …")
    lines = [Line(text, INK, 15, bold=True) for text in wrapped]
    # Of a finding said to be absent, "located" would read as its contrary.
    says_absent = silence is not None and sentence.polarity in ("negated", "normal")
    facts = [f"{MARKS[sentence.evidence]} {sentence.evidence}"] if sentence.evidence and not says_absent else []
    if silence is None:
        facts += [words for words in (score_words(sentence), peak_words(sentence)) if words]
    if facts:
        lines.append(Line("   ·   ".join(facts), FAINT, 11))
    if silence is not None:
        lines.append(Line(silence, INK, 11))
    elif sentence.side_conflict:
        lines.append(Line(f"▲ {side_conflict_words(sentence)}", AMBER, 11, bold=True))
    return lines


def _label(axes: Axes, cut: Plane) -> None:
    """Letters for the patient's directions and, on the axial plane, a ruler."""
    for letter, (x, y, across, up) in zip(cut.view.letters, (LEFT, RIGHT, TOP, BOTTOM), strict=True):
        words = axes.text(x, y, letter, ha=across, va=up, transform=axes.transAxes, path_effects=HALO)
        words.set(color=INK, fontsize=11, fontweight="bold")
    axes.text(0.02, 0.98, cut.view.name, color=INK, fontsize=9, va="top", transform=axes.transAxes, path_effects=HALO)
    if cut.view.name == "axial":
        start, height = cut.extent_mm[0] - RULER_INSET_MM, cut.extent_mm[2] + RULER_INSET_MM
        axes.plot([start, start - RULER_MM], [height, height], color=INK, linewidth=2, path_effects=HALO)
        axes.text(start, height + 4, f"{RULER_MM / 10:.0f} cm", color=INK, fontsize=9, path_effects=HALO)


def _outline_peak(axes: Axes, cut: Plane, heatmap: Heatmap, peak: Point, *, dashed: bool) -> None:
    """Where the plane cuts the best patch; dashed where the evidence is weak."""
    index = np.rint(index_in(heatmap.affine, peak))
    outline = grid_box_outline(heatmap.affine, index, cut.view, cut.at_mm)
    axes.add_patch(Polygon(outline, fill=False, edgecolor="white", linewidth=1.3, linestyle="--" if dashed else "-"))


def _draw_bar(axes: Axes, scale: ColourScale) -> None:
    """The fixed scale, in its colours over dark (left) to white (right) CT."""
    scores, grey = np.meshgrid(np.linspace(scale.low, scale.high, 256), np.linspace(0.2, 1, 64), indexing="ij")
    legend = tinted(grey.astype(np.float32), scores.astype(np.float32), scale)
    axes.imshow(legend, extent=(0, 1, scale.low, scale.high), origin="lower", aspect="auto")
    axes.set_frame_on(False)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    middle = (scale.low + scale.high) / 2
    axes.set_yticks([scale.low, middle, scale.high], [f"{scale.low:.2f}", f"{middle:.2f}", f"≥ {scale.high:.2f}"])
    axes.tick_params(colors=FAINT, labelsize=8.5, length=2)
    axes.set_ylabel(SCALE_LABEL, color=FAINT, fontsize=8.5)
    axes.set_xlabel("below:\nnot drawn", color=FAINT, fontsize=8.5)
