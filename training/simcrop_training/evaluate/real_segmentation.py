"""Label maps of real scans beside what is known of them: Dice where there is a truth, millilitres everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from simcrop_core.demo.measure import dice
from simcrop_core.demo.sample import LABEL_VALUES
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.baselines import LUNG_NAMES, threshold_lungs
from simcrop_core.inference.segmentation import segment_volume
from simcrop_core.models.structures import CHEST_TASKS, each_alone, made_of
from simcrop_core.models.unetr import UNETR
from simcrop_core.progress import Job
from simcrop_training.data.real_scans import REAL_SCANS, RealName
from simcrop_training.objectives.plain_unet import PlainUnet

Masks = Mapping[str, NDArray[np.bool_]]
STRUCTURES = tuple(dict.fromkeys(name for names in CHEST_TASKS.values() for name in names))
_MEASURED_ALONE = ("COVID-CT-MD_P002", "COVID-CT-MD_normal001")
# Only what readers or another network labelled; lungs by a threshold are what the baseline finds, too.
_TRUE_OF: dict[RealName, tuple[str, ...]] = {
    "CIP_ct-64": ("left lung", "right lung", "trachea"),
    "Lung_Dx-A0002": (),
    "TotalSegmentator_abdomen": ("left lung", "right lung", "aorta", "liver", "spleen", "spine"),
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One structure of one scan as one network, or the threshold, labels it.

    Attributes:
        scan: its folder.
        structure: by its name.
        by: who labelled it.
        dice: with the truth; None where there is none.
        ml: found.
        true_ml: of the truth.
    """

    scan: str
    structure: str
    by: str
    dice: float | None
    ml: float
    true_ml: float | None


def labelled_scans(scans: Path, networks: Mapping[str, UNETR | PlainUnet]) -> list[Labelled]:
    """What networks and the threshold make of every scan of a folder.

    LIDC-IDRI-0001 and the two of COVID-CT-MD are always measured; the three that starter weights may see where they
    are there, and a Dice on one of those counts only for weights that were made without it (`--leave-out`).

    Args:
        scans: the folder.
        networks: by what to call them.

    Raises:
        SimCroPError: a file is missing or cannot be read.
    """
    rows = []
    for name, volume, truth in _cases(scans):
        for by, masks in _answers(volume, networks):
            rows += [_row(name, volume, structure, by, mask, truth) for structure, mask in masks.items()]
    return rows


def _cases(scans: Path) -> Iterator[tuple[str, Volume, Masks]]:
    folder = scans / "LIDC-IDRI-0001"
    organs = read_volume(folder / "totalsegmentator.nii.gz").voxels
    yield (
        folder.name,
        read_volume(folder / "ct.nii.gz"),
        {name: np.isin(organs, values) for name, values in LABEL_VALUES.items()},
    )
    for name in _MEASURED_ALONE:
        yield name, read_volume(scans / name / "ct_2mm.nii.gz"), {}
    for seen, read in REAL_SCANS.items():
        if (scans / seen).is_dir():
            scan = read(scans / seen)
            truth = {structure: scan.regions[structure] for structure in _TRUE_OF[seen]}
            yield seen, Volume(scan.image, np.diag([*scan.spacing_mm, 1.0])), truth


def _answers(volume: Volume, networks: Mapping[str, UNETR | PlainUnet]) -> Iterator[tuple[str, Masks]]:
    for by, network in networks.items():
        labels = network.config.labels
        # A UNet has all of a UNETR that labelling asks for.
        found = segment_volume(
            cast("UNETR", network), volume, each_alone(labels, range(1, len(labels))), job=Job(), warn=_fail
        ).voxels
        made = {name: made_of(name, labels) for name in STRUCTURES}
        yield by, {name: np.isin(found, values) for name, values in made.items() if values}
    threshold = threshold_lungs(volume)
    if threshold is not None:
        yield "threshold", {name: threshold.voxels == value for value, name in LUNG_NAMES.items()}


def _row(scan: str, volume: Volume, structure: str, by: str, mask: NDArray[np.bool_], truth: Masks) -> Labelled:
    ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    found = round(ml * np.count_nonzero(mask), 1)
    if structure not in truth:
        return Labelled(scan, structure, by, None, found, None)
    true = truth[structure]
    return Labelled(scan, structure, by, round(dice(mask, true), 3), found, round(ml * np.count_nonzero(true), 1))


def _fail(warning: str) -> None:
    raise MemoryError(warning)
