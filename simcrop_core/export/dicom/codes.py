"""SNOMED CT codes of what is segmented, and this project's own codes for what no standard has a word for."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from simcrop_core.results import Side

# Where the standard lists have nothing true. An attention region is where a sentence fits best, never a lesion.
_OWN = "99SIMCROP"
ATTENTION_REGION = Code("attention-region", _OWN, "Attention region of a sentence")
SIMILARITY = Code("similarity", _OWN, "Cosine similarity of sentence and image, not a probability")
EVIDENCE = Code("evidence", _OWN, "Evidence for the sentence in the image, uncalibrated")
POLARITY = Code("polarity", _OWN, "What the sentence asserts")

ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
TISSUE = Code("85756007", "SCT", "Tissue")
CHEST = Code("816094009", "SCT", "Chest")

_SIDES: dict[str, Code] = {
    "left": codes.SCT.Left,
    "right": codes.SCT.Right,
    "bilateral": Code("51440002", "SCT", "Right and left"),
}
_STRUCTURES = {
    "lung": codes.SCT.Lung,
    "upper lobe": codes.SCT.UpperLobeOfLung,
    "right middle lobe": Code("72481006", "SCT", "Middle lobe of right lung"),
    "lower lobe": codes.SCT.LowerLobeOfLung,
    "trachea": codes.SCT.Trachea,
    "heart": codes.SCT.Heart,
    "aorta": codes.SCT.Aorta,
    "pulmonary artery": codes.SCT.PulmonaryArtery,
    "oesophagus": codes.SCT.Esophagus,
    "liver": codes.SCT.Liver,
    "gallbladder": codes.SCT.Gallbladder,
    "spleen": codes.SCT.Spleen,
    "stomach": codes.SCT.Stomach,
    "pancreas": codes.SCT.Pancreas,
    "kidney": codes.SCT.Kidney,
    "adrenal gland": codes.SCT.AdrenalGland,
    "spine": codes.SCT.Spine,
    "inferior vena cava": codes.SCT.InferiorVenaCava,
    "body": codes.SCT.EntireBody,
}


@dataclass(frozen=True, slots=True)
class CodedLabel:
    """What a label is called in DICOM.

    Attributes:
        category: of the property.
        type: the structure.
        laterality: where there is a left and a right one.
    """

    category: Code
    type: Code
    laterality: Code | None = None


def coded(label: str) -> CodedLabel:
    """The codes of a label such as "left lung"; one that is not known is coded as tissue, and keeps its name."""
    name = label.lower()
    if name in _STRUCTURES:
        return CodedLabel(ANATOMICAL_STRUCTURE, _STRUCTURES[name])
    side, _, rest = name.partition(" ")
    if side in _SIDES and rest in _STRUCTURES:
        return CodedLabel(ANATOMICAL_STRUCTURE, _STRUCTURES[rest], _SIDES[side])
    return CodedLabel(TISSUE, TISSUE)


def own(words: str) -> Code:
    """Words of the contract (`results.Evidence`, `results.Polarity`) as a code of the project's own."""
    return Code(words.replace(" ", "-"), _OWN, words)


def side_code(side: Side) -> Code:
    """The side that a sentence names."""
    return _SIDES[side]
