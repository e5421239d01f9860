"""A folder of drawn phantoms, so that training reads rather than draws."""

from __future__ import annotations

from pathlib import Path

from simcrop_core.models.structures import CHEST_LABELS
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.truth import Style
from simcrop_training.data.sample import Sample, sample_labels, save_sample, truth_of


def write_phantoms(
    folder: Path, count: int, *, style: Style = "a", first_seed: int = 0, every: int = 1, offset: int = 0
) -> None:
    """Draw the phantoms of `count` consecutive seeds that are not there yet.

    Args:
        folder: made if need be; one .npz a seed.
        count: how many seeds.
        style: of the generator; training data are of style "a".
        first_seed: the first of them.
        every: draw only every so many-th, starting at `offset`: for several processes side by side.
        offset: see `every`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed + offset, first_seed + count, every):
        path = folder / f"phantom-{seed:06d}.npz"
        if not path.exists():
            save_sample(path, phantom_sample(seed, style))


def phantom_sample(seed: int, style: Style = "a") -> Sample:
    """One phantom as a training sample; all its organs and lobes are known."""
    phantom = draw_phantom(seed, style=style)
    known = tuple(range(1, len(CHEST_LABELS)))
    report = f"{phantom.report.findings} {phantom.report.impression}".strip()
    labels = sample_labels(phantom.labels, phantom.lobes)
    return Sample(phantom.image, labels, known, tuple(truth_of(s) for s in phantom.statements), report)
