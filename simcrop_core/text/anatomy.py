"""Which part of the body a sentence is about, coarsely: enough to say that it lies outside the scan."""

from __future__ import annotations

import re
from typing import Literal

Region = Literal["head", "neck", "chest", "upper abdomen", "kidneys", "lower abdomen", "limbs"]

_OUTSIDE_THE_CHEST: dict[Region, str] = {
    "head": r"brain|intracranial|cerebr\w+|cerebell\w+|crani(?:al|um)|skull|calvari\w+|orbit(?:s|al)?|mastoid\w*|pituitary"
    r"|(?:maxillary|paranasal|frontal|sphenoid\w*|ethmoid\w*) sinus\w*|(?:temporal|frontal|parietal|occipital) (?:lobe|bone)s?",
    "neck": r"thyroid\w*|parathyroid\w*|cervical|neck|laryn\w+|glott\w+|vocal cords?|pharyn\w+|submandibular|parotid\w*"
    r"|supraclavicular|jugular|carotid\w*|hyoid|tonsil\w*|C[1-7](?:[-/]C?\d)?",
    "kidneys": r"kidneys?|renal|perirenal|pelvicaly\w+|pyelocaly\w+|ureter\w*|hydronephro\w+|nephrolithiasis|urolithiasis",
    "upper abdomen": r"liver|(?:intra|peri|extra)?hepatic|hepato\w+|spleen|(?:peri)?splenic|spleno\w+|adrenal\w*|suprarenal"
    r"|gall ?bladder|gall ?stones?|cholecyst\w*|cholelithiasis|biliary|bile ducts?|choledoch\w*|stomach|(?:peri)?gastric"
    r"|pancrea\w+|duoden\w+|(?:upper )?abdomen|(?:upper )?abdominal(?: aorta\w*)?|portal vein\w*|ascites|retroperiton\w+"
    r"|oment(?:um|al)|celiac|coeliac|mesenter\w+|peritone\w+|(?:hepato)?steatosis|subphrenic|pneumobilia|pneumoperitoneum",
    "lower abdomen": r"(?:urinary )?bladder|prostat\w+|uter(?:us|ine)|ovar(?:y|ies|ian)|adnex\w+|pelvi(?:s|c)|rect(?:um|al)"
    r"|sigmoid|colon|colonic|caec\w+|cecum|cecal|append(?:ix|iceal|icitis)|ile(?:um|al|us)|jejun\w+|bowel|intestin\w+"
    r"|inguinal|iliac|sacr(?:um|al|oiliac)|lumbar|lumbosacral|umbilic\w+|L[1-5](?:[-/][LS]?\d)?",
    "limbs": r"femor\w+|femur|hips?|knees?|tibia\w*|fibula\w*|humer(?:us|al)|elbows?|wrists?|(?<!other )hands?|forearms?"
    r"|foot|feet|ankles?|popliteal|thighs?|legs?|(?:upper|lower) (?:limbs?|extremit\w+)",
}
_ELSEWHERE = re.compile(
    r"\b(?:" + "|".join(f"(?P<r{i}>{words})" for i, words in enumerate(_OUTSIDE_THE_CHEST.values())) + r")\b", re.IGNORECASE
)
_CHEST = re.compile(
    r"\b(?:lungs?|pulmonary|(?:upper|middle|lower) lobes?|lobar|lingul\w+|pleura\w*|(?:peri)?bronch\w+|(?:para)?trache\w+"
    r"|carina\w*|mediastin\w+|(?:peri)?hil(?:a|ar|um|us)|(?:intra|hemi)?thora(?:x|ces|c\w+)|chest|heart|cardi\w+"
    r"|pericardi\w+|coronar\w+|atri\w+|ventric\w+|aort\w+|o?esophag\w+|ribs?|stern\w+|retrosternal|manubri\w+|clavic\w+"
    r"|scapul\w+|axill\w+|breasts?|mammary|(?:hemi)?diaphragm\w*|costophrenic|subcarinal|hiat\w+|emphysem\w*"
    r"|(?:hydro)?pneumo(?:thora\w+|nia|nic|mediastin\w+|nitis)|ha?emothora\w+|empyema|atelecta\w+|cardiomegaly|thym\w+"
    r"|fissur\w+|ground[- ]?glass|tree-in-bud|honeycomb\w*|superior vena cava|brachiocephalic|subclavian|R[UML]L|L[UL]L"
    r"|dorsal|Th?(?:1[0-2]|[1-9])(?:[-/]T?\d+)?)\b",
    re.IGNORECASE,
)


def region_of(text: str) -> Region | None:
    """The part of the body a sentence is about, None where it does not say.

    One word of the chest keeps a sentence in the chest, whatever else it names; otherwise the part named first counts.
    Phrases that use a chest word for another place ("abdominal aorta") count for that place.
    """
    if _CHEST.search(_ELSEWHERE.sub(" ", text)):
        return "chest"
    first = _ELSEWHERE.search(text)
    if first is None or first.lastgroup is None:
        return None
    return list(_OUTSIDE_THE_CHEST)[int(first.lastgroup[1:])]
