"""Frames whose intensities are drawn anew from their label map: a network that sees them learns shapes, not densities.

After SynthSeg (Billot et al., Medical Image Analysis 86, 2023), with what CT has and MR has not: a scale. Air, fat,
soft tissue, blood and bone each have their own range. What a label holds of different tissues is told apart by the
density that it has, so that ribs are drawn as bone and vessels of the lung as blood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from simcrop_training.data.sample import SAMPLE_LABELS, Sample

LOWEST_HU, HIGHEST_HU = -1024, 3071
Range = tuple[float, float]
# What a label may hold, by the density it has now: up to that HU, and the HU that its mean is drawn from.
_GAS: tuple[float, Range] = (-300.0, (-1000.0, -850.0))
_ANY: Mapping[str, tuple[tuple[float, Range], ...]] = {
    "background": ((-850.0, (-1024.0, -960.0)), (np.inf, (-1000.0, 200.0))),
    "lung": ((-600.0, (-950.0, -650.0)), (-300.0, (-850.0, -250.0)), (np.inf, (-50.0, 250.0))),
    "trachea": ((np.inf, (-1024.0, -900.0)),),
    "blood": (_GAS, (np.inf, (10.0, 450.0))),
    "organ": (_GAS, (np.inf, (0.0, 180.0))),
    "bone": ((150.0, (20.0, 250.0)), (np.inf, (150.0, 900.0))),
    "tissue": (_GAS, (-20.0, (-140.0, -50.0)), (130.0, (-10.0, 110.0)), (np.inf, (150.0, 1000.0))),
}
_KINDS = {
    "background": "background", "trachea": "trachea", "heart": "blood", "aorta": "blood", "pulmonary artery": "blood",
    "liver": "organ", "spleen": "organ", "oesophagus": "organ", "spine": "bone", "other tissue": "tissue",
}  # fmt: skip
# Within a label: deviation of its voxels, HU; slow change over the frame, HU; width of the edges, voxels in the plane.
_SD_HU, _BIAS_HU, _BLUR = (3.0, 45.0), 40.0, (0.2, 1.1)
_BIAS_KNOTS = (4, 4, 4)


def redrawn(sample: Sample, rng: np.random.Generator) -> Sample:
    """A sample with new intensities where everything still is what it was; the same random numbers draw the same.

    A scan that does not know its other tissue hides it in the background: that is drawn like tissue where it is dense.
    """
    part, means, deviations = _parts(sample, rng)
    noise = rng.standard_normal(part.shape, dtype=np.float32)
    image = means[part] + deviations[part] * noise
    drawn = torch.from_numpy(image)[None, None]
    drawn = _blurred(drawn, float(rng.uniform(*_BLUR))) + _bias(part.shape, rng)
    hu = drawn[0, 0].round().clamp(LOWEST_HU, HIGHEST_HU).to(torch.int16).numpy()
    return replace(sample, image=hu)


def _parts(
    sample: Sample, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """The part of its label that each voxel is; mean and deviation of each part."""
    part = np.zeros(sample.labels.shape, np.uint8)
    means, deviations, count = [], [], 0
    hidden = "other tissue" not in {SAMPLE_LABELS[value] for value in sample.known}
    for value, name in enumerate(SAMPLE_LABELS):
        here = sample.labels == value
        for ends, (low, high) in _ANY[_kind(name, hidden=hidden)] if here.any() else ():
            # The next part takes what is denser: each overwrites the voxels that those before it did not want.
            part[here] = count
            here &= sample.image >= ends
            means.append(rng.uniform(low, high))
            deviations.append(rng.uniform(*_SD_HU))
            count += 1
    return part, np.array(means, np.float32), np.array(deviations, np.float32)


def _kind(name: str, *, hidden: bool) -> str:
    if name.endswith((" lobe", " lung")):
        return "lung"
    return "tissue" if hidden and name == "background" else _KINDS[name]


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blurred by a Gaussian of `sigma` voxels in the plane of slices: a scanner's, at 1.5 mm."""
    reach = max(1, round(2.5 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    for axis in (2, 3):
        shape = [1] * 5
        shape[axis] = len(kernel)
        pads = [0] * 6
        pads[2 * (4 - axis)] = pads[2 * (4 - axis) + 1] = reach
        image = F.conv3d(F.pad(image, pads, mode="replicate"), kernel.reshape(shape))
    return image


def _bias(shape: tuple[int, ...], rng: np.random.Generator) -> torch.Tensor:
    """(1, 1, H, W, D) HU of a smooth change over the frame."""
    knots = rng.uniform(-1, 1, _BIAS_KNOTS).astype(np.float32) * np.float32(rng.uniform(0, _BIAS_HU))
    return F.interpolate(torch.from_numpy(knots)[None, None], shape, mode="trilinear", align_corners=True)
