"""Stored samples as frames with labels: what a probe and zero-shot are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.phantom.truth import KIND_LABELS
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_training.data.memory_source import coarse_image
from simcrop_training.data.organs import Organs, coarse_labels
from simcrop_training.data.sample import SAMPLE_LABELS, Sample, load_sample

_SAID = ("positive", "uncertain")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Samples of phantoms.

    Attributes:
        images_BHWD: int16 HU, in the network's frame.
        present_BL: which of the 18 CT-RATE labels were drawn.
        organs: label map of each.
        reports: of each.
    """

    images_BHWD: Tensor
    present_BL: NDArray[np.bool_]
    organs: tuple[Organs, ...]
    reports: tuple[str, ...]


def load_labelled(paths: Sequence[Path], shape: tuple[int, int, int]) -> Labelled:
    """Read samples, averaged to a frame of that many voxels."""
    images, shown, organs, reports = [], [], [], []
    for path in paths:
        # One at a time: hundreds of whole scans do not fit into memory.
        sample = load_sample(path)
        images.append(coarse_image(sample.image, shape))
        shown.append(present(sample))
        organs.append(Organs.whole(coarse_labels(sample.labels, shape), SAMPLE_LABELS))
        reports.append(sample.report)
    return Labelled(torch.from_numpy(np.stack(images)), np.stack(shown), tuple(organs), tuple(reports))


def present(sample: Sample) -> NDArray[np.bool_]:
    """(18,) which CT-RATE labels a sample shows."""
    labels = {label for t in sample.truths if t.polarity in _SAID for label in KIND_LABELS.get(t.topic, ())}
    return np.array([label in labels for label in CT_RATE_LABELS])
