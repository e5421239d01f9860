"""Codes and colours of the structures that are segmented, as Slicer's own terminology lists give them.

Source: Slicer's "3D Slicer General Anatomy list"; what is not in it (the spine as a whole, great vessels, the body) has
its code from Slicer's "DICOM master list", and the colour of that list or of its nearest neighbour in the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from SimCroPSlicerLib.palette import Colour, sentence_colour

GENERAL = "Segmentation category and type - 3D Slicer General Anatomy list"
MASTER = "Segmentation category and type - DICOM master list"
_REGIONS = "Anatomic codes - DICOM master list"
_CATEGORY = ("SCT", "123037004", "Anatomical Structure")
_SIDES = {"right": ("SCT", "24028007", "Right"), "left": ("SCT", "7771000", "Left")}


@dataclass(frozen=True)
class Structure:
    """A structure's SNOMED CT code and colour.

    Attributes:
        code: of SNOMED CT.
        meaning: of the code.
        rgb: 0 to 255.
        sided: there is a right and a left one, which is said beside the code.
        context: Slicer's list that has it.
    """

    code: str
    meaning: str
    rgb: tuple[int, int, int]
    sided: bool = False
    context: str = GENERAL


STRUCTURES = {
    "lung": Structure("39607008", "Lung", (197, 165, 145), sided=True),
    "upper lobe": Structure("45653009", "Upper lobe of lung", (172, 138, 115), sided=True),
    "right middle lobe": Structure("72481006", "Middle lobe of right lung", (202, 164, 140)),
    "lower lobe": Structure("90572001", "Lower lobe of lung", (224, 186, 162), sided=True),
    "trachea": Structure("44567001", "Trachea", (182, 228, 255)),
    "heart": Structure("80891009", "Heart", (206, 110, 84)),
    "aorta": Structure("15825003", "Aorta", (224, 97, 76)),
    "pulmonary artery": Structure("81040000", "Pulmonary artery", (0, 122, 171), context=MASTER),
    "oesophagus": Structure("32849002", "Esophagus", (211, 171, 143)),
    "liver": Structure("10200004", "Liver", (221, 130, 101)),
    "gallbladder": Structure("28231008", "Gallbladder", (139, 150, 98)),
    "spleen": Structure("78961009", "Spleen", (157, 108, 162)),
    "stomach": Structure("69695003", "Stomach", (216, 132, 105)),
    "pancreas": Structure("15776009", "Pancreas", (249, 180, 111)),
    "kidney": Structure("64033007", "Kidney", (185, 102, 83), sided=True),
    "adrenal gland": Structure("23451007", "Adrenal gland", (249, 186, 150), sided=True),
    "spine": Structure("421060004", "Spine", (226, 202, 134), context=MASTER),
    "inferior vena cava": Structure("64131007", "Inferior vena cava", (0, 151, 206), context=MASTER),
    "body": Structure("38266002", "Entire body", (177, 122, 101), context=MASTER),
}


def _found(name: str) -> tuple[Structure, str] | None:
    """The structure of a label, and its side where the label names one."""
    whole = name.lower()
    if whole in STRUCTURES:
        return STRUCTURES[whole], ""
    side, _, rest = whole.partition(" ")
    structure = STRUCTURES.get(rest)
    return (structure, side) if side in _SIDES and structure is not None and structure.sided else None


def terminology(name: str) -> str | None:
    """Slicer's terminology entry for a label such as "left lung"; None where the label is not known."""
    found = _found(name)
    if found is None:
        return None
    structure, side = found
    code = ("SCT", structure.code, structure.meaning)
    fields = [structure.context, "^".join(_CATEGORY), "^".join(code), "^".join(_SIDES.get(side, ("", "", "")))]
    return "~".join([*fields, _REGIONS, "^^", "^^"])


def colour(name: str, index: int) -> Colour:
    """The General Anatomy colour of a label; of an unknown one, a colour by its place in the list."""
    found = _found(name)
    if found is None:
        return sentence_colour(index)
    red, green, blue = found[0].rgb
    return red / 255, green / 255, blue / 255
