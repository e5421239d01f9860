"""Codes and colours of the structures that are segmented, as in Slicer's General Anatomy list."""

from __future__ import annotations

from dataclasses import dataclass

from SimCroPSlicerLib.palette import Colour, sentence_colour

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
_CATEGORY = ("SCT", "123037004", "Anatomical Structure")
_SIDES = {"right": ("SCT", "24028007", "Right"), "left": ("SCT", "7771000", "Left")}


@dataclass(frozen=True)
class Structure:
    """A structure's SNOMED CT code and colour."""

    code: str
    meaning: str
    rgb: tuple[int, int, int]


_STRUCTURES = {
    "lung": Structure("39607008", "Lung", (197, 165, 145)),
    "upper lobe": Structure("45653009", "Upper lobe of lung", (172, 138, 115)),
    "middle lobe": Structure("72481006", "Middle lobe of right lung", (202, 164, 140)),
    "lower lobe": Structure("90572001", "Lower lobe of lung", (224, 186, 162)),
    "trachea": Structure("44567001", "Trachea", (182, 228, 255)),
    "heart": Structure("80891009", "Heart", (206, 110, 84)),
    "aorta": Structure("15825003", "Aorta", (224, 97, 76)),
    "liver": Structure("10200004", "Liver", (221, 130, 101)),
    "spleen": Structure("78961009", "Spleen", (157, 108, 162)),
    "spine": Structure("51282000", "Spine", (226, 202, 134)),
}


def _found(name: str) -> tuple[Structure, str] | None:
    side, _, rest = name.lower().partition(" ")
    known = rest if side in _SIDES else name.lower()
    structure = _STRUCTURES.get(known)
    return None if structure is None else (structure, side if side in _SIDES else "")


def terminology(name: str) -> str | None:
    """Slicer's terminology entry for a label such as "left lung"; None where the label is not known."""
    found = _found(name)
    if found is None:
        return None
    structure, side = found
    code = ("SCT", structure.code, structure.meaning)
    fields = [_CONTEXT, "^".join(_CATEGORY), "^".join(code), "^".join(_SIDES.get(side, ("", "", "")))]
    return "~".join([*fields, _REGIONS, "^^", "^^"])


def colour(name: str, index: int) -> Colour:
    """The General Anatomy colour of a label; of an unknown one, a colour by its place in the list."""
    found = _found(name)
    if found is None:
        return sentence_colour(index)
    red, green, blue = found[0].rgb
    return red / 255, green / 255, blue / 255
