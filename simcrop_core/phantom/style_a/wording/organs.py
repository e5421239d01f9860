"""Sentences that only name an organ or region, and sentences that call one normal."""

from __future__ import annotations

import numpy as np

# Sentences that name a part of the body and say nothing of it.
ANATOMY: dict[str, tuple[str, ...]] = {
    "left lung": ("Left lung.", "left lung parenchyma", "The left lung.", "parenchyma of the left lung"),
    "right lung": ("Right lung.", "right lung parenchyma", "The right lung.", "parenchyma of the right lung"),
    "lungs": ("Both lungs.", "lung parenchyma", "Lungs.", "the lungs"),
    "trachea": ("Trachea.", "tracheal lumen", "The trachea and both main bronchi.", "windpipe"),
    "heart": ("Heart.", "cardiac chambers", "The heart.", "heart contour"),
    "aorta": ("Aorta.", "thoracic aorta", "The thoracic aorta."),
    "aortic arch": ("Aortic arch.", "arch of the aorta"),
    "descending aorta": ("Descending aorta.", "The descending thoracic aorta."),
    "ascending aorta": ("Ascending aorta.", "ascending part of the aorta"),
    "pulmonary artery": ("Pulmonary artery.", "main pulmonary artery", "pulmonary trunk"),
    "superior vena cava": ("Superior vena cava.", "SVC"),
    "oesophagus": ("Esophagus.", "thoracic esophagus", "Oesophagus."),
    "mediastinum": ("Mediastinum.", "mediastinal structures", "The mediastinum."),
    "left hilum": ("Left hilum.", "left hilar structures", "left pulmonary hilum"),
    "right hilum": ("Right hilum.", "right hilar structures", "right pulmonary hilum"),
    "carina": ("Carina.", "tracheal bifurcation"),
    "liver": ("Liver.", "liver parenchyma", "The liver.", "hepatic parenchyma"),
    "spleen": ("Spleen.", "The spleen.", "splenic parenchyma"),
    "stomach": ("Stomach.", "gastric lumen", "stomach with its contents"),
    "left kidney": ("Left kidney.", "upper pole of the left kidney"),
    "right kidney": ("Right kidney.", "upper pole of the right kidney"),
    "kidneys": ("Kidneys.", "both kidneys"),
    "spine": ("Spine.", "thoracic vertebrae", "vertebral column", "Thoracic spine."),
    "ribs": ("Ribs.", "costal bones", "rib cage"),
    "sternum": ("Sternum.", "sternal bone", "breastbone"),
    "left upper lobe": ("Left upper lobe.", "LUL", "upper lobe of the left lung"),
    "left lower lobe": ("Left lower lobe.", "LLL", "lower lobe of the left lung"),
    "right upper lobe": ("Right upper lobe.", "RUL", "upper lobe of the right lung"),
    "right middle lobe": ("Right middle lobe.", "RML", "middle lobe of the right lung", "middle lobe"),
    "right lower lobe": ("Right lower lobe.", "RLL", "lower lobe of the right lung"),
    "upper lobes": ("Upper lobes.", "both upper lobes"),
    "lower lobes": ("Lower lobes.", "both lower lobes"),
}

# Sentences that call an organ normal, and the kinds of finding that would make them untrue.
NORMAL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "trachea": (
        (
            "Trachea and both main bronchi are open.",
            "The trachea is patent.",
            "The trachea is in the midline.",
            "Trachea is in the midline and the main bronchi are open.",
            "The central airways are unremarkable.",
        ),
        (),
    ),
    "heart": (
        (
            "Heart size is normal.",
            "The heart contour and size are normal.",
            "Heart size and configuration are within normal limits.",
            "The heart is not enlarged.",
        ),
        ("cardiomegaly", "pericardial effusion"),
    ),
    "aorta": (
        (
            "The thoracic aorta is normal in calibre.",
            "Calibration of the thoracic aorta is natural.",
            "The aorta is not dilated.",
        ),
        ("arterial calcification",),
    ),
    "ascending aorta": (
        ("The ascending aorta is normal in calibre.", "The ascending aorta is not dilated."),
        ("arterial calcification",),
    ),
    "descending aorta": (("The descending thoracic aorta is of normal width.",), ("arterial calcification",)),
    "pulmonary artery": (
        ("The pulmonary trunk is of normal calibre.", "Calibration of the pulmonary arteries is natural."),
        (),
    ),
    "superior vena cava": (("The superior vena cava is patent.",), ("medical device",)),
    "oesophagus": (
        (
            "The thoracic esophagus has a normal wall.",
            "Thoracic esophagus calibration is normal.",
            "The oesophagus is normal.",
        ),
        ("hiatal hernia",),
    ),
    "mediastinum": (
        (
            "Mediastinal structures are normal.",
            "The mediastinum is unremarkable.",
            "The mediastinum is in the midline.",
        ),
        ("lymphadenopathy", "hiatal hernia", "pericardial effusion", "cardiomegaly", "medical device"),
    ),
    "liver": (
        (
            "The liver is of normal size and density.",
            "Visualised part of the liver is unremarkable.",
            "The visible liver is normal.",
        ),
        (),
    ),
    "spleen": (("The spleen is of normal size.", "Visualised part of the spleen is unremarkable."), ()),
    "stomach": (("The stomach is unremarkable.",), ("hiatal hernia",)),
    "kidneys": (("Both kidneys are normal.", "The visible parts of the kidneys are unremarkable."), ()),
    "spine": (
        (
            "Vertebral body heights are preserved.",
            "The thoracic spine shows normal alignment.",
            "Vertebral corpus heights and alignments are natural.",
        ),
        (),
    ),
    "ribs": (("The ribs are intact.",), ()),
    "sternum": (("The sternum is intact.",), ("medical device",)),
    "left lung": (
        ("The left lung is well aerated.", "Aeration of the left lung is normal.", "The left lung is clear."),
        ("any in the left lung",),
    ),
    "right lung": (
        ("The right lung is well aerated.", "Aeration of the right lung is normal.", "The right lung is clear."),
        ("any in the right lung",),
    ),
    "lungs": (
        (
            "Aeration of both lung parenchyma is normal.",
            "The lungs are clear.",
            "Both lungs are normally aerated.",
        ),
        ("any in the left lung", "any in the right lung"),
    ),
}


# Ways to name a part of the body and to say nothing of its state; {n} is one of its names above.
_NAMED = (
    "{n}.",
    "The {n}.",
    "Visible {n}.",
    "Level of the {n}.",
    "The {n} is included.",
    "The {n} is included in the scan.",
    "The {n} is seen.",
    "Part of the {n} is shown in the lower sections.",
    "Location of the {n}.",
    "The {n} was evaluated.",
    "Sections through the {n}.",
    "{n}, as far as included.",
)
_AS_WRITTEN = 0.6


def anatomy(region: str, rng: np.random.Generator) -> str:
    """A sentence that names an organ or region and nothing else."""
    name = str(rng.choice(ANATOMY[region]))
    if rng.random() < _AS_WRITTEN:
        return name
    bare = name.removesuffix(".").removeprefix("The ").removeprefix("the ")
    bare = bare if bare[:2].isupper() else bare[0].lower() + bare[1:]
    text = str(rng.choice(_NAMED)).format(n=bare)
    return text[0].upper() + text[1:]


def normal(region: str, rng: np.random.Generator) -> str:
    """A sentence that calls an organ normal."""
    return str(rng.choice(NORMAL[region][0]))
