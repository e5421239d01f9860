"""Names of findings. Each begins with how it is counted: "a" one of them, "s" several, "-" not counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simcrop_core.phantom.style_a.finding import Finding

# {looks} takes an adjective that fits what was drawn, {grade} its severity; either may stay empty.
FINDINGS: dict[str, tuple[str, ...]] = {
    "nodule": (
        "a {looks} nodule",
        "a {looks} pulmonary nodule",
        "a {looks} lung nodule",
        "a nodular lesion",
        "a {looks} nodular opacity",
        "a {looks} parenchymal nodule",
    ),
    "mass": (
        "a {looks} mass",
        "a {looks} pulmonary mass",
        "a {looks} mass lesion",
        "a {looks} lung tumor",
        "a large {looks} lesion",
        "a {looks} soft tissue mass",
        "a {looks} space-occupying lesion",
    ),
    "consolidation": (
        "- {grade} {looks} consolidation",
        "a consolidated area",
        "- {looks} airspace consolidation",
        "a {looks} consolidation area",
        "- {looks} pneumonic infiltration",
        "an area of consolidation with air bronchograms",
        "- {grade} airspace disease",
    ),
    "ground-glass opacity": (
        "a {looks} ground-glass opacity",
        "a {looks} ground-glass density",
        "a {looks} area of ground-glass",
        "s {grade} {looks} ground glass opacities",
        "- {grade} ground-glass attenuation",
        "s {looks} ground-glass densities",
        "- {looks} GGO",
    ),
    "atelectasis": (
        "- {grade} {looks} atelectasis",
        "s {grade} {looks} atelectatic changes",
        "an area of {looks} volume loss",
        "- {looks} collapse",
        "a {looks} atelectatic area",
    ),
    "emphysema": (
        "- {grade} {looks} emphysema",
        "s {grade} {looks} emphysematous changes",
        "s areas of {looks} emphysema",
        "- {grade} pulmonary emphysema",
        "- {grade} emphysematous destruction of the parenchyma",
    ),
    "fibrotic band": (
        "a {looks} fibrotic band",
        "s fibrotic sequelae",
        "a {looks} parenchymal band",
        "a pleuroparenchymal scar",
        "s {looks} pleuroparenchymal sequela densities",
        "- {looks} scarring",
        "- {looks} fibrosis",
    ),
    "bronchiectasis": (
        "- {grade} {looks} bronchiectasis",
        "s {grade} dilated bronchi",
        "s {grade} {looks} bronchiectatic changes",
        "- bronchial dilatation",
        "s {looks} ectatic bronchi",
    ),
    "peribronchial thickening": (
        "- {grade} peribronchial thickening",
        "- {grade} bronchial wall thickening",
        "s {grade} thickened bronchial walls",
        "- {grade} peribronchial cuffing",
        "s {grade} peribronchial thickness increases",
    ),
    "septal thickening": (
        "- {grade} {looks} interlobular septal thickening",
        "s {looks} thickened interlobular septa",
        "s {grade} {looks} reticular opacities",
        "- {grade} reticulation",
        "s {looks} septal lines",
    ),
    "mosaic attenuation": (
        "- {grade} {looks} mosaic attenuation",
        "a {grade} mosaic attenuation pattern",
        "- {grade} mosaic perfusion",
        "- {looks} patchy air trapping",
        "a {looks} mosaic density pattern",
    ),
    "pleural effusion": (
        "a {grade} {looks} pleural effusion",
        "a {grade} pleural effusion",
        "- {grade} {looks} pleural fluid",
        "a {grade} {looks} effusion",
        "- fluid in the pleural space",
        "- {grade} hydrothorax",
        "a {grade} collection of pleural fluid",
    ),
    "pneumothorax": (
        "a {grade} pneumothorax",
        "- air in the pleural space",
        "- {grade} free pleural air",
        "- {grade} pneumothorax",
    ),
    "lymphadenopathy": (
        "- lymphadenopathy",
        "an enlarged lymph node",
        "s enlarged lymph nodes",
        "a pathologic lymph node",
        "- lymph node enlargement",
        "s lymphadenopathies",
    ),
    "cardiomegaly": (
        "- {grade} cardiomegaly",
        "an enlarged heart",
        "an increased heart size",
        "- {grade} cardiac enlargement",
        "an increased cardiothoracic ratio",
    ),
    "pericardial effusion": (
        "a {grade} pericardial effusion",
        "- {grade} pericardial fluid",
        "- fluid around the heart",
        "- fluid in the pericardial space",
    ),
    "arterial calcification": (
        "- {grade} aortic wall calcification",
        "s {grade} calcified atheromatous plaques of the aorta",
        "s calcific plaques in the thoracic aorta",
        "- {grade} atherosclerotic calcification of the aorta",
        "s {grade} wall calcifications of the aorta",
    ),
    "coronary calcification": (
        "- {grade} coronary artery calcification",
        "s {grade} calcified plaques in the coronary arteries",
        "- {grade} coronary wall calcification",
        "- calcific coronary atherosclerosis",
        "s {grade} calcific atheroma plaques in the coronary arteries",
    ),
    "hiatal hernia": (
        "a {grade} hiatal hernia",
        "a {grade} sliding hiatal hernia",
        "a herniation of the stomach through the hiatus",
        "a {grade} hiatus hernia",
    ),
    "medical device": (
        "a central venous catheter",
        "a cardiac pacemaker",
        "s sternal wires",
        "a prosthetic heart valve",
        "a coronary stent",
        "- medical material",
    ),
}

# Of devices only what was drawn is said to be there.
DEVICES: dict[str, tuple[str, ...]] = {
    "central venous catheter": (
        "a central venous catheter",
        "a venous catheter in the superior vena cava",
        "a catheter tip in the superior vena cava",
        "a central line",
    ),
    "port catheter": ("a port catheter", "a venous port", "an implanted port with its tip in the superior vena cava"),
    "pacemaker": ("a cardiac pacemaker", "a pacemaker with leads in the right heart", "s pacemaker leads", "an ICD"),
    "sternal wires": ("s sternal wires", "s sternotomy wires", "s median sternotomy sutures", "s sternal cerclages"),
    "aortic valve": ("an aortic valve prosthesis", "a prosthetic aortic valve", "an artificial heart valve"),
    "coronary stent": ("a coronary stent", "a stent in the coronary artery", "- coronary stent material"),
}
SEVERAL: dict[str, tuple[str, ...]] = {
    "nodule": (
        "s multiple {looks} nodules",
        "s several {looks} nodules",
        "s {looks} pulmonary nodules",
        "s {looks} lung nodules",
        "s a few {looks} nodular opacities",
    ),
    "lymphadenopathy": (
        "s enlarged lymph nodes",
        "s lymphadenopathies",
        "- lymphadenopathy",
        "s multiple enlarged lymph nodes",
        "s pathologically enlarged lymph nodes",
    ),
}
# Wider words that fit too.
GENERIC: dict[str, tuple[str, ...]] = {
    "nodule": ("a lesion", "a suspicious lesion", "a focal lesion"),
    "mass": ("a lesion", "- lung cancer", "a neoplasm", "a malignant lesion", "a suspicious lesion"),
    "consolidation": ("an opacity", "an infiltrate", "- pneumonia", "- pneumonic consolidation"),
    "ground-glass opacity": ("an opacity", "a hazy opacity", "- viral pneumonia", "s infiltrates"),
    "bronchiectasis": ("s abnormal airways",),
    "septal thickening": ("s interstitial changes",),
}
_GRADES: dict[str, tuple[str, ...]] = {
    "mild": ("mild", "slight", "minimal"),
    "moderate": ("moderate",),
    "severe": ("severe", "marked", "extensive"),
    "small": ("small", "minimal", "mild"),
    "large": ("large", "massive", "extensive"),
}
# Names with one of these words are not used to deny.
_SPECIAL = frozenset({"free", "large", "increased", "herniation", "material", "area", "collection"})
_VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class Name:
    """A name of a finding: its words, and whether it is "a" one, "s" several, or "-" not counted."""

    words: str
    count: str

    @property
    def article(self) -> str:
        """The indefinite article with a blank after it, or nothing."""
        if self.count != "a":
            return ""
        spelled = self.words.startswith(("ICD", "LLL"))
        return "an " if spelled or self.words[0].lower() in _VOWELS else "a "

    def bare(self) -> Name:
        """Without a word that says how many."""
        for quantity in ("multiple ", "several ", "a few "):
            if self.words.startswith(quantity):
                return Name(self.words.removeprefix(quantity), self.count)
        return self

    @property
    def plural(self) -> bool:
        """Whether its verb is plural."""
        return self.count == "s"


def name_of(f: Finding, rng: np.random.Generator, *, plain: bool = False) -> Name:
    """One of the names of a finding; `plain` without adjectives."""
    choices = FINDINGS[f.kind]
    if f.kind == "medical device" and f.looks:
        choices = DEVICES[f.looks]
    elif f.several:
        choices = SEVERAL[f.kind]
    elif f.kind in GENERIC and rng.random() < 0.12:
        choices = GENERIC[f.kind]
    looks = f.looks if not plain and f.kind != "medical device" and rng.random() < 0.6 else ""
    grade = str(rng.choice(_GRADES[f.severity])) if f.severity and not plain and rng.random() < 0.6 else ""
    return _parsed(str(rng.choice(choices)), looks, grade)


def absent_name(kind: str, rng: np.random.Generator) -> Name:
    """A plain name for something that is not there."""
    usual = [name for name in FINDINGS[kind] if not _SPECIAL.intersection(name.split())]
    return _parsed(str(rng.choice(usual)), "", "")


def _parsed(pattern: str, looks: str, grade: str) -> Name:
    article, _, rest = pattern.partition(" ")
    words = " ".join(rest.format(looks=looks, grade=grade).split())
    if looks and words.count(looks) > 1:
        words = words.replace(f"{looks} ", "", 1)
    return Name(words, "a" if article == "an" else article)
