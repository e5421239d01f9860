"""The picture of a grounding run: sentences chosen by a rule, read again and drawn for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simcrop_core.imaging.heatmap import Heatmap
from simcrop_training.evaluate import plots
from simcrop_training.evaluate.grounding_benchmark.cases import MaskedScan, MaskedSet
from simcrop_training.evaluate.grounding_benchmark.controls import MODEL
from simcrop_training.evaluate.grounding_benchmark.encoded import load_encoded
from simcrop_training.evaluate.grounding_benchmark.masks import read_regions
from simcrop_training.evaluate.grounding_benchmark.measure import Measured
from simcrop_training.evaluate.grounding_benchmark.panels import (
    CAPTION,
    Key,
    Panel,
    Shown,
    chosen,
    numbered,
    panels_figure,
)
from simcrop_training.evaluate.grounding_benchmark.run import Work
from simcrop_training.evaluate.grounding_benchmark.tables import Asked
from simcrop_training.prepare.volume import checked_scan

PANELS = "panels.png"


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A model that was asked everything.

    Attributes:
        name: in the picture.
        work: its engine and files.
        asked: its measured sentences, in the order of the data.
    """

    name: str
    work: Work
    asked: Sequence[Asked]


def draw_panels(models: Sequence[Answered], data: MaskedSet, output: Path) -> str:
    """Write the best, the median and the worst sentence as a picture, and give it in Markdown with its caption.

    Args:
        models: that were asked; those sentences count that all of them measured.
        data: what was asked.
        output: folder of the picture.

    Returns:
        Markdown; "" where no sentence has a mask.

    Raises:
        CannotWrite: the folder is not writable.
    """
    measured = {place: numbered(model.asked) for place, model in enumerate(models)}
    picked = chosen({str(place): own for place, own in measured.items()})
    if not picked:
        return ""
    scans = {scan.name: scan for scan in data.scans}
    panels = [_panel(place, key, scans[key[0]], models, measured) for place, key in picked.items()]
    plots.save(panels_figure(panels), output / PANELS)
    return f"![Best, median and worst sentence]({PANELS})\n\n{CAPTION}"


def _panel(
    place: str, key: Key, scan: MaskedScan, models: Sequence[Answered], measured: Mapping[int, Mapping[Key, Measured]]
) -> Panel:
    volume = checked_scan(scan.source)[0]
    region, text = read_regions(scan, volume)[key[1]], scan.sentences[key[1]].text
    shown = [_shown(model, scan, key[1], measured[number][key]) for number, model in enumerate(models)]
    return Panel(place, text, volume, region, shown)


def _shown(model: Answered, scan: MaskedScan, row: int, measured: Measured) -> Shown:
    known = load_encoded(model.work.path(scan, "npz"))
    heatmap = Heatmap(known.maps_SN[row].reshape(known.patches.grid), known.patches.affine, measured.text)
    scale, drawn = model.work.engine.colour_scale, known.answers[row].drawn
    return Shown(model.name, heatmap, scale, drawn, measured.evidence, measured.rows[MODEL])
