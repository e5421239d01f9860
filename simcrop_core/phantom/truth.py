"""What a synthetic scan comes with: organ labels, sentences and where each of them is, a report, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Those that are drawn with a label, and that sentences name; then what is told apart besides.
ORGANS = ("background", "left lung", "right lung", "trachea", "heart", "aorta", "liver", "spleen", "spine")
LABELS = (*ORGANS, "pulmonary artery", "oesophagus", "other tissue")
LOBES = ("none", "left upper lobe", "left lower lobe", "right upper lobe", "right middle lobe", "right lower lobe")

# What each kind of finding counts as among CT-RATE's labels; a pneumothorax has none of its own, a mass is no nodule.
KIND_LABELS: dict[str, tuple[str, ...]] = {
    "medical device": ("Medical material",),
    "arterial calcification": ("Arterial wall calcification",),
    "cardiomegaly": ("Cardiomegaly",),
    "pericardial effusion": ("Pericardial effusion",),
    "coronary calcification": ("Coronary artery wall calcification",),
    "hiatal hernia": ("Hiatal hernia",),
    "lymphadenopathy": ("Lymphadenopathy",),
    "emphysema": ("Emphysema",),
    "atelectasis": ("Atelectasis",),
    "nodule": ("Lung nodule",),
    "mass": ("Lung opacity",),
    "ground-glass opacity": ("Lung opacity",),
    "consolidation": ("Consolidation", "Lung opacity"),
    "fibrotic band": ("Pulmonary fibrotic sequela",),
    "pleural effusion": ("Pleural effusion",),
    "mosaic attenuation": ("Mosaic attenuation pattern",),
    "peribronchial thickening": ("Peribronchial thickening",),
    "bronchiectasis": ("Bronchiectasis",),
    "septal thickening": ("Interlobular septal thickening",),
    "pneumothorax": (),
}

Style = Literal["a", "b"]
Size = Literal["frame", "full"]
Polarity = Literal["positive", "uncertain", "negated", "normal", "comparison", "absent", "anatomy"]


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One sentence and its truth.

    Attributes:
        text: the sentence.
        polarity: "positive" (drawn), "uncertain" (drawn, said with doubt), "negated" (said not to be there, and is
            not), "normal" (an organ said to be normal, and is), "comparison" (with an earlier scan), "absent" (said to
            be there, but is not: never part of the report), "anatomy" (names an organ or region and nothing else:
            never part of the report).
        topic: the finding's kind or the organ's name.
        side: "left", "right" or "".
        lobe: a name of `LOBES`, or "".
        voxels: flat indices (C order) of where it is; empty where there is nothing to point at.
        size_mm: largest diameter of a focal lesion, else 0.
    """

    text: str
    polarity: Polarity
    topic: str
    side: str
    lobe: str
    voxels: NDArray[np.int32]
    size_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class PhantomReport:
    """A report in CT-RATE's four sections, every sentence of it true of the scan."""

    clinical_information: str
    technique: str
    findings: str
    impression: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who was drawn: age in years, "M" or "F"."""

    age: int
    sex: str


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A synthetic scan with its truth.

    Attributes:
        image: (x, y, z) int16 HU, axes RAS.
        spacing_mm: along x, y, z.
        labels: uint8, indices of `LABELS`; all that is of the body has one.
        lobes: uint8 lobe labels, indices of `LOBES`.
        statements: what can be said of it, true and untrue.
        report: the true ones as a report.
        present: labels of `simcrop_core.text.ct_rate.CT_RATE_LABELS` that were drawn.
        person: who was drawn.
        seed: draws the same phantom again.
        style: the generator.
    """

    image: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    labels: NDArray[np.uint8]
    lobes: NDArray[np.uint8]
    statements: tuple[Statement, ...]
    report: PhantomReport
    present: frozenset[str]
    person: Person
    seed: int
    style: Style = field(default="a")

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4) voxel index → RAS mm, the origin at the scan's centre."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = -(np.array(self.image.shape) - 1) / 2 * self.spacing_mm
        return affine


def with_the_rest(
    labels: NDArray[np.uint8], body: NDArray[np.bool_], parts: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.uint8]:
    """Organ labels with a label for all else of the body.

    Args:
        labels: indices of `ORGANS`.
        body: everything within the skin.
        parts: by names of `LABELS` that are no organs of `ORGANS`; of two that share a voxel the later has it.

    Returns:
        Indices of `LABELS`; where an organ was, it still is.
    """
    free = (labels == 0) & body
    whole = np.where(free, np.uint8(LABELS.index("other tissue")), labels)
    for name, mask in parts.items():
        whole[free & mask] = LABELS.index(name)
    return whole
