"""How a radiologist words a finding, its absence, and the organs of a normal scan."""

from __future__ import annotations

import numpy as np

# Names of each finding; {looks} takes an adjective that fits what was drawn, or nothing.
FINDINGS: dict[str, tuple[str, ...]] = {
    "nodule": (
        "{looks} nodule",
        "{looks} pulmonary nodule",
        "{looks} lung nodule",
        "nodular lesion",
        "{looks} nodular opacity",
    ),
    "mass": (
        "{looks} mass",
        "{looks} pulmonary mass",
        "{looks} mass lesion",
        "{looks} lung tumor",
        "{looks} solid mass",
        "large {looks} lesion",
        "soft tissue mass",
    ),
    "consolidation": (
        "{looks} consolidation",
        "consolidated area",
        "airspace consolidation",
        "{looks} pneumonic infiltration",
        "area of consolidation with air bronchograms",
    ),
    "ground-glass opacity": (
        "{looks} ground-glass opacity",
        "{looks} ground-glass density",
        "{looks} area of ground-glass",
        "{looks} ground glass opacities",
        "ground-glass attenuation",
    ),
    "atelectasis": (
        "{looks} atelectasis",
        "{looks} atelectatic changes",
        "area of {looks} volume loss",
        "{looks} collapse of the lung",
    ),
    "emphysema": (
        "{looks} emphysema",
        "{looks} emphysematous changes",
        "areas of {looks} emphysema",
        "air cysts and emphysema",
    ),
    "fibrotic band": (
        "{looks} fibrotic band",
        "fibrotic sequela",
        "{looks} parenchymal band",
        "pleuroparenchymal scar",
        "{looks} scarring",
    ),
    "bronchiectasis": (
        "bronchiectasis",
        "dilated bronchi",
        "bronchiectatic changes",
        "bronchial wall thickening and dilatation",
    ),
    "septal thickening": (
        "interlobular septal thickening",
        "thickened interlobular septa",
        "reticular opacities",
        "reticulation",
    ),
    "pleural effusion": (
        "{looks} pleural effusion",
        "{looks} pleural fluid",
        "{looks} effusion",
        "free fluid in the pleural space",
        "hydrothorax",
    ),
    "pneumothorax": ("pneumothorax", "air in the pleural space", "free pleural air"),
    "lymphadenopathy": (
        "lymphadenopathy",
        "enlarged lymph node",
        "enlarged lymph nodes",
        "pathologic lymph node",
        "lymph node enlargement",
    ),
    "cardiomegaly": ("cardiomegaly", "enlarged heart", "increased heart size", "cardiac enlargement"),
    "pericardial effusion": ("pericardial effusion", "pericardial fluid", "fluid around the heart"),
    "arterial calcification": (
        "aortic wall calcification",
        "calcified atheromatous plaques of the aorta",
        "calcific plaques in the thoracic aorta",
        "atherosclerotic calcification of the aorta",
    ),
    "coronary calcification": (
        "coronary artery calcification",
        "calcified plaques in the coronary arteries",
        "coronary wall calcification",
        "calcific coronary atherosclerosis",
    ),
    "hiatal hernia": ("hiatal hernia", "sliding hiatal hernia", "herniation of the stomach through the hiatus"),
    "medical device": (
        "central venous catheter",
        "venous catheter in the superior vena cava",
        "catheter tip in the superior vena cava",
        "port catheter",
    ),
}

# Findings one could take for each other: one of them is never called absent where another was drawn.
ALIKE = (
    {"nodule", "mass", "consolidation"},
    {"consolidation", "ground-glass opacity", "atelectasis", "septal thickening", "pleural effusion", "mass"},
    {"fibrotic band", "atelectasis", "septal thickening"},
    {"pneumothorax", "emphysema"},
    {"arterial calcification", "coronary calcification"},
    {"cardiomegaly", "pericardial effusion"},
)

# Organs and regions: sentences that name them and call nothing wrong.
ANATOMY: dict[str, tuple[str, ...]] = {
    "left lung": (
        "Left lung.",
        "The left lung is well aerated.",
        "left lung parenchyma",
        "Aeration of the left lung is normal.",
    ),
    "right lung": (
        "Right lung.",
        "The right lung is well aerated.",
        "right lung parenchyma",
        "Aeration of the right lung is normal.",
    ),
    "lungs": ("Both lungs.", "Lung parenchyma on both sides is visible.", "The lungs are well aerated."),
    "trachea": (
        "Trachea.",
        "The trachea is patent.",
        "The trachea and both main bronchi are open.",
        "Trachea is in the midline.",
    ),
    "heart": (
        "Heart.",
        "Heart size is normal.",
        "The heart contour and size are normal.",
        "cardiac chambers",
        "Heart size and configuration are within normal limits.",
    ),
    "aorta": (
        "Aorta.",
        "The thoracic aorta is normal in calibre.",
        "Calibration of the thoracic aorta is natural.",
        "thoracic aorta",
    ),
    "aortic arch": ("Aortic arch.", "The aortic arch is normal.", "arch of the aorta"),
    "descending aorta": ("Descending aorta.", "The descending thoracic aorta is of normal width."),
    "ascending aorta": ("Ascending aorta.", "The ascending aorta is not dilated in calibre."),
    "pulmonary artery": ("Pulmonary artery.", "The pulmonary trunk is of normal calibre.", "main pulmonary artery"),
    "superior vena cava": ("Superior vena cava.", "The superior vena cava is patent."),
    "oesophagus": (
        "Esophagus.",
        "The oesophagus is normal.",
        "The thoracic esophagus has a normal wall.",
        "esophageal calibration",
    ),
    "mediastinum": ("Mediastinum.", "The mediastinum is in the midline.", "Mediastinal structures are normal."),
    "left hilum": ("Left hilum.", "The left hilum is normal.", "left hilar structures"),
    "right hilum": ("Right hilum.", "The right hilum is normal.", "right hilar structures"),
    "carina": ("Carina.", "tracheal bifurcation", "The carina is sharp."),
    "liver": (
        "Liver.",
        "The liver is visible in the upper abdomen.",
        "The liver is of normal size and density.",
        "liver parenchyma",
        "Visualised part of the liver is unremarkable.",
    ),
    "spleen": (
        "Spleen.",
        "The spleen is of normal size.",
        "spleen in the left upper abdomen",
        "Visualised part of the spleen is unremarkable.",
    ),
    "stomach": ("Stomach.", "The stomach contains air and fluid.", "gastric lumen"),
    "left kidney": ("Left kidney.", "The left kidney is unremarkable.", "upper pole of the left kidney"),
    "right kidney": ("Right kidney.", "The right kidney is unremarkable.", "upper pole of the right kidney"),
    "kidneys": ("Kidneys.", "Both kidneys are normal."),
    "spine": (
        "Spine.",
        "Vertebral body heights are preserved.",
        "thoracic vertebrae",
        "The thoracic spine shows normal alignment.",
        "vertebral column",
    ),
    "ribs": ("Ribs.", "The ribs are intact.", "costal bones"),
    "sternum": ("Sternum.", "The sternum is intact.", "sternal bone"),
    "left upper lobe": (
        "Left upper lobe.",
        "The left upper lobe is well aerated.",
        "LUL",
        "upper lobe of the left lung",
    ),
    "left lower lobe": (
        "Left lower lobe.",
        "The left lower lobe is well aerated.",
        "LLL",
        "lower lobe of the left lung",
    ),
    "right upper lobe": (
        "Right upper lobe.",
        "The right upper lobe is well aerated.",
        "RUL",
        "upper lobe of the right lung",
    ),
    "right middle lobe": (
        "Right middle lobe.",
        "The right middle lobe is well aerated.",
        "RML",
        "middle lobe of the right lung",
        "middle lobe",
    ),
    "right lower lobe": (
        "Right lower lobe.",
        "The right lower lobe is well aerated.",
        "RLL",
        "lower lobe of the right lung",
    ),
    "upper lobes": ("Upper lobes.", "both upper lobes"),
    "lower lobes": ("Lower lobes.", "both lower lobes"),
}

_NEGATED = (
    "No {name}.",
    "There is no {name}.",
    "No evidence of {name}.",
    "{Name} was not observed.",
    "No {name} is seen {where}.",
    "No {name} {where}.",
    "{Name} is absent.",
    "{Name} was not detected {where}.",
    "Without {name}.",
    "{Where} there is no {name}.",
)
_POSITIVE = (
    "{Name} {where}.",
    "There is {a} {name} {where}.",
    "{A} {name} is seen {where}.",
    "{A} {name} is observed {where}.",
    "{Where} there is {a} {name}.",
    "{Name}, {where}.",
    "{Name} was detected {where}.",
    "{Where}, {name}.",
)
_SIZED = (
    "{A} {name} measuring {size} mm is seen {where}.",
    "{Name} with a diameter of {size} mm {where}.",
    "{A} {size} mm {name} {where}.",
    "{Where} a {name} of {size} x {less} mm is present.",
    "{Name} {where}, {size} mm.",
)
_GENERIC = {
    "nodule": ("lesion", "suspicious lesion", "focal lesion"),
    "mass": ("lesion", "suspicious lesion", "lung cancer", "neoplasm", "malignant lesion"),
    "consolidation": ("opacity", "infiltrate", "pneumonia"),
    "ground-glass opacity": ("opacity", "hazy opacity", "viral pneumonia"),
}
_MIDLINE = {
    "lymphadenopathy": ("in the mediastinum", ""),
    "cardiomegaly": ("", "of the heart"),
    "pericardial effusion": ("",),
    "arterial calcification": ("",),
    "coronary calcification": ("",),
    "hiatal hernia": ("", "at the lower end of the esophagus"),
    "medical device": ("",),
}


def name_of(kind: str, looks: str, rng: np.random.Generator) -> str:
    """One of the names of a finding, with or without the adjective."""
    if kind in _GENERIC and rng.random() < 0.15:
        return str(rng.choice(_GENERIC[kind]))
    pattern = str(rng.choice(FINDINGS[kind]))
    return " ".join(pattern.format(looks=looks if rng.random() < 0.7 else "").split())


def where(kind: str, side: str, lobe: str, place: str, rng: np.random.Generator) -> str:
    """The phrase that says where; empty only for findings whose name says it."""
    if kind == "lymphadenopathy" and place:
        region = f"in the {place} region" if "window" not in place else f"in the {place}"
        return str(rng.choice([region, f"at the {place} station" if "window" not in place else region]))
    if lobe:
        lung = str(rng.choice([f"the {lobe}", f"the {lobe} of the lung", _turned(lobe)], p=[0.7, 0.1, 0.2]))
        if place and rng.random() < 0.6:
            part = "apical segment" if place == "apex" and rng.random() < 0.5 else place
            return f"in the {part} of {lung}"
        if rng.random() < 0.15:
            return f"in the {side} lung"
        return f"in {lung}"
    if side:
        near = "pleural space" if kind in ("pleural effusion", "pneumothorax") else "lung"
        return str(
            rng.choice([f"on the {side}", f"on the {side} side", f"in the {side} {near}", f"in the {side} hemithorax"])
        )
    return str(rng.choice(_MIDLINE.get(kind, ("",))))


def positive(kind: str, side: str, lobe: str, place: str, looks: str, size_mm: float, rng: np.random.Generator) -> str:
    """A sentence that says the finding is there."""
    template = str(rng.choice(_SIZED if size_mm and rng.random() < 0.35 else _POSITIVE))
    size = max(1, round(size_mm))
    return _fill(template, name_of(kind, looks, rng), where(kind, side, lobe, place, rng), size)


def negated(kind: str, side: str, lobe: str, rng: np.random.Generator) -> str:
    """A sentence that says the finding is not there; names a place only if given one."""
    place = where(kind, side, lobe, "", rng) if side or lobe else str(rng.choice(["", "", "in both lungs"]))
    return _fill(str(rng.choice(_NEGATED)), name_of(kind, "", rng), place, 0)


def anatomy(region: str, rng: np.random.Generator) -> str:
    """A sentence that names an organ or region and nothing else."""
    return str(rng.choice(ANATOMY[region]))


def _turned(lobe: str) -> str:
    side, part = lobe.split(" ", 1)
    return f"the {part} of the {side} lung"


def _fill(template: str, name: str, place: str, size: int) -> str:
    article = (
        "" if name.endswith("s") or name.startswith(("free", "air", "area")) else "an" if name[0] in "aeiou" else "a"
    )
    text = template.format(
        name=name,
        Name=name.capitalize(),
        where=place,
        Where=place.capitalize(),
        a=article,
        A=article.capitalize(),
        size=size,
        less=max(1, round(size * 0.8)),
    )
    text = " ".join(text.split()).replace(" .", ".").replace(" ,", ",").replace(",.", ".").lstrip(", ")
    return text[0].upper() + text[1:]
