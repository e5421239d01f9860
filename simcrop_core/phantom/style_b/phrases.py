"""Our own phrasings of every finding, in the manner of British and American free-text reports.

Fields: `{where}` a lobe or region with its article, `{bare}` the same without, `{side}` left or right, `{size}` in mm,
`{cm}` in cm, `{grade}` how severe, `{form}` which variety, `{site}` a station or region. Each phrasing is true whenever
the finding was drawn; the grades read "mild", "moderate", "severe" unless a kind has words of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Phrases:
    """How one kind of finding is said.

    Attributes:
        found: with certainty.
        doubted: with doubt.
        excluded: said not to be there.
        noun: for comparisons, with its article.
        grades: words for mild, moderate and severe.
    """

    found: tuple[str, ...]
    doubted: tuple[str, ...]
    excluded: tuple[str, ...]
    noun: str
    grades: tuple[str, str, str] = field(default=("mild", "moderate", "severe"))


_VOLUME = ("small", "moderate", "large")
_EXTENT = ("minor", "moderate", "extensive")

PHRASES: dict[str, Phrases] = {
    "nodule": Phrases(
        (
            "{size} mm {form} nodule, {bare}.",
            "A rounded {form} nodule in {where} measures {size} mm.",
            "{Bare}: {form} nodule of {cm} cm.",
            "Within {where} lies a {form} nodule, {size} mm across.",
        ),
        ("Possible {size} mm nodule in {where}.", "Questionable small nodule, {bare}."),
        ("No pulmonary nodule is identified.", "No discrete lung nodule.", "Neither lung contains a nodule."),
        "the {bare} nodule",
    ),
    "mass": Phrases(
        (
            "{cm} cm {form} mass arising in {where}.",
            "{Bare}: large {form} mass, {size} mm in maximum diameter.",
            "There is a {form} tumour of {cm} cm centred on {where}.",
            "{Bare} mass, {form}, {size} mm.",
        ),
        ("{Bare} mass cannot be excluded.", "Suspected mass lesion in {where}."),
        ("No lung mass.", "No mass lesion is seen in either lung.", "No evidence of a pulmonary mass."),
        "the {bare} mass",
    ),
    "ground-glass opacity": Phrases(
        (
            "{Bare}: {form} ground-glass change.",
            "Hazy ground-glass shadowing in {where} with preserved vessels.",
            "Ground-glass density of {grade} degree occupies part of {where}.",
            "There is {form} ground-glass attenuation in {where}.",
        ),
        ("Subtle ground-glass change is suspected in {where}.", "Possible faint ground-glass density, {bare}."),
        (
            "No ground-glass change.",
            "No ground-glass shadowing in either lung.",
            "Ground-glass attenuation is not seen.",
        ),
        "ground-glass change in {where}",
    ),
    "consolidation": Phrases(
        (
            "{Grade} airspace consolidation in {where}.",
            "{Bare}: consolidated lung.",
            "Dense consolidation has replaced aerated lung in {where}.",
            "Pneumonic consolidation, {bare}.",
        ),
        ("Probable early consolidation in {where}.", "{Bare} consolidation is questioned."),
        ("No consolidation.", "No airspace consolidation on either side.", "There is no consolidated lung."),
        "consolidation in {where}",
        ("focal", "segmental", "widespread"),
    ),
    "atelectasis": Phrases(
        (
            "{Bare}: {form} atelectasis.",
            "{Form} collapse of {grade} degree in {where}.",
            "There is {form} volume loss in {where} in keeping with atelectasis.",
            "{Form} atelectatic change, {bare}.",
        ),
        ("Probable {form} atelectasis in {where}.", "Suspected minor collapse, {bare}."),
        ("No atelectasis.", "No lobar or segmental collapse.", "Neither lung shows atelectasis."),
        "atelectasis in {where}",
        _EXTENT,
    ),
    "fibrotic band": Phrases(
        (
            "Linear scarring in {where}.",
            "{Bare}: fibrous strands from old disease.",
            "Parenchymal bands in {where} represent scar.",
            "Fibrotic stranding, {bare}.",
        ),
        ("Possible thin scar in {where}.", "Suspected fibrous band, {bare}."),
        ("No parenchymal scarring.", "No fibrotic bands.", "No evidence of scarring in either lung."),
        "scarring in {where}",
    ),
    "emphysema": Phrases(
        (
            "{Grade} centrilobular emphysema in {where}.",
            "{Bare}: emphysematous destruction, {grade}.",
            "There are {grade} emphysematous changes affecting {where}.",
        ),
        ("Suspected {grade} emphysema in {where}.", "Possible emphysematous change, {bare}."),
        ("No emphysema.", "No emphysematous change.", "No evidence of emphysema in either lung."),
        "emphysema in {where}",
    ),
    "mosaic attenuation": Phrases(
        (
            "Mosaic attenuation throughout both lungs.",
            "Patchwork of darker and brighter lung bilaterally: mosaic pattern.",
            "Both lungs show {grade} mosaic attenuation.",
            "Heterogeneous lung density in a mosaic distribution, {grade}.",
        ),
        ("Possible mosaic attenuation of both lungs.", "A faint mosaic pattern is questioned."),
        ("No mosaic attenuation.", "There is no mosaic pattern of attenuation.", "No mosaic pattern is seen."),
        "mosaic attenuation of both lungs",
    ),
    "septal thickening": Phrases(
        (
            "{Grade} interlobular septal thickening in {where}.",
            "{Bare}: thickened interlobular septa.",
            "A reticular network of thickened septa is present in {where}.",
        ),
        ("Possible septal thickening in {where}.", "Suspected septal lines, {bare}."),
        ("No interlobular septal thickening.", "Septa are not thickened.", "No septal lines."),
        "septal thickening in {where}",
    ),
    "peribronchial thickening": Phrases(
        (
            "{Grade} bronchial wall thickening in {where}.",
            "{Bare}: peribronchial cuffing.",
            "Bronchi in {where} have thickened walls.",
        ),
        ("Possible bronchial wall thickening in {where}.", "Suspected peribronchial cuffing, {bare}."),
        ("No bronchial wall thickening.", "No peribronchial thickening.", "Bronchial walls are not thickened."),
        "bronchial wall thickening in {where}",
    ),
    "bronchiectasis": Phrases(
        (
            "{Grade} bronchiectasis in {where}.",
            "{Bare}: dilated bronchi.",
            "Bronchi in {where} are wider than their arteries: bronchiectasis.",
        ),
        ("Possible bronchiectasis in {where}.", "Suspected bronchial dilatation, {bare}."),
        ("No bronchiectasis.", "No bronchial dilatation.", "Bronchi are not dilated."),
        "bronchiectasis in {where}",
    ),
    "pleural effusion": Phrases(
        (
            "{Grade} {side} pleural effusion.",
            "Free fluid in the {side} pleural space, {grade}.",
            "The {side} lung base is bordered by a {grade} effusion.",
            "{Side}-sided pleural fluid collection.",
        ),
        ("Possible {side} pleural effusion.", "Suspected {side} pleural fluid."),
        (
            "No pleural effusion.",
            "No pleural fluid on either side.",
            "The pleural spaces are free of fluid, no effusion.",
        ),
        "the {side} pleural effusion",
        _VOLUME,
    ),
    "pneumothorax": Phrases(
        (
            "{Grade} {side} pneumothorax.",
            "Free air in the {side} pleural space.",
            "{Side}-sided pneumothorax of {grade} size.",
        ),
        ("Possible {side} pneumothorax.", "Suspected free {side} pleural air."),
        ("No pneumothorax.", "No free pleural air.", "There is no pneumothorax on either side."),
        "the {side} pneumothorax",
        _VOLUME,
    ),
    "cardiomegaly": Phrases(
        (
            "Cardiac enlargement.",
            "The heart is enlarged to a {grade} degree.",
            "{Grade} cardiomegaly.",
            "Increased transverse diameter of the heart.",
        ),
        ("The heart may be enlarged.", "Possible cardiac enlargement."),
        ("No cardiomegaly.", "The heart is not enlarged.", "No cardiac enlargement."),
        "the cardiac enlargement",
    ),
    "pericardial effusion": Phrases(
        (
            "{Grade} pericardial effusion.",
            "Fluid surrounds the heart within the pericardium.",
            "The pericardial sac contains a {grade} amount of fluid.",
        ),
        ("Possible pericardial effusion.", "Suspected fluid in the pericardial sac."),
        ("No pericardial effusion.", "No pericardial fluid.", "The pericardium contains no fluid."),
        "the pericardial effusion",
        _VOLUME,
    ),
    "arterial calcification": Phrases(
        (
            "{Grade} calcified plaque along the thoracic aorta.",
            "Atheromatous calcification of the aortic wall.",
            "The wall of the aorta is calcified, {grade}.",
        ),
        ("Possible calcified aortic plaque.", "Suspected atheroma of the aortic wall."),
        ("No aortic calcification.", "The aortic wall is not calcified.", "No calcified aortic plaque."),
        "calcification of the aortic wall",
        _EXTENT,
    ),
    "coronary calcification": Phrases(
        (
            "{Grade} coronary artery calcification.",
            "Calcified plaque in the {form} artery of the heart.",
            "Coronary calcium is present in the {form} territory.",
        ),
        ("Possible coronary calcification.", "Suspected calcium in a coronary artery."),
        ("No coronary calcification.", "The coronary arteries are not calcified.", "No coronary calcium."),
        "coronary calcification",
        _EXTENT,
    ),
    "hiatal hernia": Phrases(
        (
            "{Grade} hiatus hernia.",
            "Part of the stomach has herniated through the hiatus behind the heart.",
            "Retrocardiac hiatal hernia containing gas and fluid.",
        ),
        ("Possible hiatus hernia.", "Suspected retrocardiac hiatal hernia."),
        ("No hiatus hernia.", "No hiatal hernia is seen.", "The stomach is not herniated."),
        "the hiatus hernia",
        _VOLUME,
    ),
    "lymphadenopathy": Phrases(
        (
            "Enlarged {site} lymph node, {size} mm.",
            "{Site} lymphadenopathy up to {cm} cm.",
            "Pathological nodal tissue in the {site} station.",
        ),
        ("Possible {site} lymph node enlargement.", "Suspected {site} adenopathy."),
        ("No lymphadenopathy.", "No enlarged lymph nodes.", "Lymph nodes are not enlarged."),
        "{site} lymphadenopathy",
    ),
    "medical device": Phrases(
        (
            "{Form} in situ.",
            "Note is made of {aform}.",
            "Appearances include {aform}.",
        ),
        ("Possible {form}.", "There may be {aform}."),
        ("No implanted device.", "No lines, tubes or implants.", "No foreign material in the chest."),
        "the implanted material",
    ),
}

DEVICES: dict[str, tuple[str, str]] = {
    "pacemaker": ("cardiac pacemaker with its generator in the left chest wall", "a"),
    "port": ("venous port in the right chest wall", "a"),
    "sternal wires": ("sternotomy wires", ""),
    "feeding tube": ("nasogastric tube", "a"),
}

# Organ: how it is said to be normal; only said where nothing drawn contradicts it.
NORMAL: dict[str, tuple[str, ...]] = {
    "left lung": ("The left lung is clear.", "Normal appearances of the left lung."),
    "right lung": ("The right lung is clear.", "Normal appearances of the right lung."),
    "trachea": ("The trachea is patent and central.", "Normal trachea."),
    "heart": ("Heart size is within normal limits.", "The heart is unremarkable."),
    "aorta": ("The thoracic aorta is of normal calibre.", "Unremarkable thoracic aorta."),
    "liver": ("The imaged liver is unremarkable.", "Normal liver."),
    "spleen": ("Unremarkable spleen.", "The spleen appears normal."),
    "spine": ("Vertebral body heights are maintained.", "The thoracic spine is intact."),
}

# Only the name of a place.
PLACES: tuple[str, ...] = ("{Bare}.", "The {bare}.", "Region: {bare}.")
CHANGES: tuple[str, ...] = (
    "Compared with the earlier study, {noun} is unchanged.",
    "Since the previous CT, {noun} has increased.",
    "{Noun} has improved from the prior examination.",
)
