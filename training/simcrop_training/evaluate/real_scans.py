"""What weights answer on real scans that trained nothing: sentences with a known place, and a normal chest."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_core.demo.measure import distance_mm
from simcrop_core.demo.sample import LABEL_VALUES
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.results import SentenceResult
from simcrop_core.text.report import parse_sentence

MASS, NOWHERE = "mass", "nowhere"
# One mass, 32 mm, in the superior segment of the left lower lobe, in the words of many readers.
_MASS = (
    "Spiculated solid mass in the superior segment of the left lower lobe.",
    "Mass in the left lower lobe.",
    "A mass in the left lower lobe.",
    "Left lower lobe mass.",
    "LLL mass, 32 mm.",
    "There is a 32 mm spiculated mass in the left lower lobe.",
    "A mass lesion was observed in the lower lobe of the left lung.",
    "Suspicious lesion in the left lower lobe, possibly malignant.",
    "A large mass in the left lung.",
)
_SWAPPED = tuple(text.replace("left", "right").replace("Left", "Right").replace("LLL", "RLL") for text in _MASS)
_ABSENT = (
    "A large mass in the right upper lobe.",
    "Large right pleural effusion.",
    "Consolidation in the right lower lobe.",
    "Left pneumothorax.",
    "Pericardial effusion.",
    "No mass in the right lung.",
    "No pleural effusion.",
)
_ANATOMY = {
    "liver": "The liver is included in the upper abdomen.",
    "spleen": "The spleen.",
    "heart": "The heart is of normal size.",
    "aorta": "The thoracic aorta is opacified by contrast.",
    "trachea": "The trachea is in the midline.",
    **{lobe: f"The {lobe} is well aerated." for lobe in LABEL_VALUES if lobe.endswith("lobe")},
}
_ARCH = "aortic arch"
# Parts of the body by nothing but their names.
_NAMED = {"The liver.": "liver", "Left lower lobe.": "left lower lobe", "Aortic arch.": _ARCH}
# The arch is what lies this near under the aorta's highest point.
_ARCH_MM = 30.0
_GROUND_GLASS = (
    "Peripheral ground-glass opacity in the left lower lobe.",
    "Ground-glass opacities in the left lung.",
    "Patchy ground-glass density in the left upper lobe.",
    "Ground-glass opacity.",
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One sentence on one scan.

    Attributes:
        scan: its folder.
        text: the sentence.
        about: what it means there: a structure, "nowhere", or "ground glass".
        evidence: as in the contract.
        score: as in the contract.
        peak_side: the half of the patient that the peak is in.
        distance_mm: from the peak to the structure; None where there is none.
        note: what else is known of the peak.
    """

    scan: str
    text: str
    about: str
    evidence: str | None
    score: float | None
    peak_side: str
    distance_mm: float | None = None
    note: str = ""


def lidc(folder: Path, engine: Engine) -> list[Answered]:
    """LIDC-IDRI-0001: its mass in many words, the same on the other side, absent findings, organs.

    Raises:
        SimCroPError: a file is missing or cannot be read.
    """
    session = Session.open(folder / "ct.nii.gz", engine)
    masks = _lidc_masks(folder)
    asked = [(text, MASS) for text in _MASS] + [(text, NOWHERE) for text in (*_SWAPPED, *_ABSENT)]
    asked += [(text, organ) for organ, text in _ANATOMY.items()] + list(_NAMED.items())
    rows = []
    for (text, about), result in zip(asked, _answers(session, [text for text, _ in asked]), strict=True):
        away = None
        if about in masks and result.peak_ras_mm is not None:
            away = round(distance_mm(result.peak_ras_mm, masks[about], session.volume.affine), 1)
        rows.append(_answered(folder, session, text, about, result, distance_mm=away))
    return rows


def lidc_places(folder: Path) -> tuple[Volume, list[tuple[str, str, NDArray[np.bool_]]]]:
    """LIDC-IDRI-0001 and each sentence that has a place in it: its text, what it is about, and that on the scan's grid.

    Raises:
        SimCroPError: a file is missing or cannot be read.
    """
    masks = _lidc_masks(folder)
    asked = [(text, MASS) for text in _MASS] + [(text, organ) for organ, text in _ANATOMY.items()]
    return read_volume(folder / "ct.nii.gz"), [(text, about, masks[about]) for text, about in asked]


def _lidc_masks(folder: Path) -> dict[str, NDArray[np.bool_]]:
    organs = read_volume(folder / "totalsegmentator.nii.gz")
    masks: dict[str, NDArray[np.bool_]] = {
        name: np.isin(organs.voxels, values) for name, values in LABEL_VALUES.items()
    }
    masks[_ARCH] = _upper(masks["aorta"], organs.affine, _ARCH_MM)
    masks[MASS] = read_volume(folder / "nodule_consensus.nii.gz").voxels > 0
    return masks


def _upper(mask: NDArray[np.bool_], affine: NDArray[np.float64], mm: float) -> NDArray[np.bool_]:
    """What of a mask lies no more than so far below its highest voxel."""
    at = np.argwhere(mask)
    height = at @ affine[2, :3]
    kept = at[height >= height.max() - mm]
    upper = np.zeros_like(mask)
    upper[tuple(kept.T)] = True
    return upper


def covid(folder: Path, engine: Engine) -> list[Answered]:
    """COVID-CT-MD P002: ground glass of the left lung, beside the slices and lobes where readers saw it.

    Raises:
        SimCroPError: a file is missing or cannot be read.
    """
    session = Session.open(folder / "ct_2mm.nii.gz", engine)
    with (folder / "lobe_labels.csv").open(encoding="utf-8", newline="") as file:
        slices = list(csv.DictReader(file))
    rows = []
    for text, result in zip(_GROUND_GLASS, _answers(session, list(_GROUND_GLASS)), strict=True):
        note = ""
        if result.peak_ras_mm is not None:
            level = result.peak_ras_mm[2]
            nearest = min(slices, key=lambda row: abs(float(row["z_mm"]) - level))
            lobes = [lobe for lobe in ("LLL", "LUL", "RLL", "RML", "RUL") if nearest[lobe] == "1"]
            note = f"readers on that slice: {', '.join(lobes) or 'nothing'}"
        rows.append(_answered(folder, session, text, "ground glass", result, note=note))
    return rows


def normal(folder: Path, engine: Engine) -> dict[str, str | None]:
    """COVID-CT-MD normal001: the evidence of each CT-RATE label; none of them is there, as far as is known.

    Raises:
        SimCroPError: a file is missing or cannot be read.
    """
    session = Session.open(folder / "ct_2mm.nii.gz", engine)
    return {finding.label: finding.evidence for finding in session.findings().result.findings}


def _answers(session: Session, texts: list[str]) -> list[SentenceResult]:
    return session.ground([parse_sentence(text) for text in texts]).result.sentences


def _answered(
    folder: Path,
    session: Session,
    text: str,
    about: str,
    result: SentenceResult,
    *,
    distance_mm: float | None = None,
    note: str = "",
) -> Answered:
    side = ""
    lungs = session.frame.lungs
    if result.peak_ras_mm is not None and lungs is not None and lungs.midline_r_mm is not None:
        side = "left" if result.peak_ras_mm[0] < lungs.midline_r_mm else "right"
    return Answered(folder.name, text, about, result.evidence, result.score, side, distance_mm, note)
