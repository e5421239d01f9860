"""RAD-ChestCT's table columns, and which of them a phantom's findings make positive."""

from __future__ import annotations

import re
from collections.abc import Iterator

from simcrop_core.phantom.layouts.drawn import findings_of
from simcrop_core.phantom.truth import Phantom, Statement

ABNORMALITIES = tuple(
    """air_trapping airspace_disease aneurysm arthritis aspiration atelectasis atherosclerosis bandlike_or_linear
    breast_implant breast_surgery bronchial_wall_thickening bronchiectasis bronchiolectasis bronchiolitis
    bronchitis cabg calcification cancer cardiomegaly catheter_or_port cavitation chest_tube clip congestion
    consolidation coronary_artery_disease cyst debris deformity density dilation_or_ectasia distention emphysema
    fibrosis fracture gi_tube granuloma groundglass hardware heart_failure heart_valve_replacement hemothorax
    hernia honeycombing infection infiltrate inflammation interstitial_lung_disease lesion lucency
    lung_resection lymphadenopathy mass mucous_plugging nodule nodulegr1cm opacity other_path pacemaker_or_defib
    pericardial_effusion pericardial_thickening plaque pleural_effusion pleural_thickening pneumonia pneumonitis
    pneumothorax postsurgical pulmonary_edema reticulation scarring scattered_calc scattered_nod secretion
    septal_thickening soft_tissue staple stent sternotomy suture tracheal_tube transplant tree_in_bud
    tuberculosis""".split()  # noqa: SIM905
)
LOCATIONS = tuple(
    """abdomen adrenal_gland airways anterior aorta aortic_valve axilla bone breast centrilobular chest_wall
    diaphragm esophagus gallbladder heart hilum inferior interstitial intestine ivc kidney lateral left
    left_lower left_lung left_mid left_upper liver lung medial mediastinum mitral_valve other_location pancreas
    posterior pulmonary_artery pulmonary_valve pulmonary_vein rib right right_lower right_lung right_mid
    right_upper spine spleen stomach subpleural superior svc thyroid tricuspid_valve""".split()  # noqa: SIM905
)
COLUMNS = tuple(f"{abnormality}*{location}" for abnormality in ABNORMALITIES for location in LOCATIONS)

LARGE_NODULE_MM = 10.0
_LUNG = "lung"
# Kind → its abnormalities, and where it is; `_LUNG` stands for the lobe and side that the sentence names.
_MEANING: dict[str, tuple[tuple[str, ...], str]] = {
    "medical device": (("hardware",), "other_location"),
    "arterial calcification": (("calcification", "atherosclerosis"), "aorta"),
    "cardiomegaly": (("cardiomegaly",), "heart"),
    "pericardial effusion": (("pericardial_effusion",), "heart"),
    "coronary calcification": (("calcification", "coronary_artery_disease"), "heart"),
    "hiatal hernia": (("hernia",), "esophagus"),
    "lymphadenopathy": (("lymphadenopathy",), "mediastinum"),
    "emphysema": (("emphysema",), _LUNG),
    "atelectasis": (("atelectasis",), _LUNG),
    "nodule": (("nodule",), _LUNG),
    "mass": (("mass", "opacity"), _LUNG),
    "ground-glass opacity": (("groundglass", "opacity"), _LUNG),
    "consolidation": (("consolidation", "opacity"), _LUNG),
    "fibrotic band": (("fibrosis", "bandlike_or_linear"), _LUNG),
    "pleural effusion": (("pleural_effusion",), _LUNG),
    "mosaic attenuation": ((), _LUNG),
    "peribronchial thickening": (("bronchial_wall_thickening",), _LUNG),
    "bronchiectasis": (("bronchiectasis",), _LUNG),
    "septal thickening": (("septal_thickening",), _LUNG),
    "pneumothorax": (("pneumothorax",), _LUNG),
}
_LOBES = {
    "left upper lobe": "left_upper",
    "left lower lobe": "left_lower",
    "right upper lobe": "right_upper",
    "right middle lobe": "right_mid",
    "right lower lobe": "right_lower",
}
# A device is `hardware` whatever it is; what it is, only words say.
_DEVICES = {
    "pacemaker_or_defib": re.compile(r"\bpacemaker|\bdefibrillator"),
    "heart_valve_replacement": re.compile(r"\bvalve"),
    "stent": re.compile(r"\bstent"),
    "sternotomy": re.compile(r"\bsternotomy|\bstern\w+ wires|\bsternal"),
    "catheter_or_port": re.compile(r"\bcatheter|\bport\b|\bvenous line|\bcentral line"),
    "gi_tube": re.compile(r"\b(feeding|gastric|nasogastric) tube"),
}


def positive_columns(phantom: Phantom) -> set[str]:
    """The columns that are 1 for a phantom."""
    device = " ".join(s.text.lower() for s in phantom.statements if s.topic == "medical device" and s.voxels.size)
    return {
        f"{abnormality}*{location}"
        for finding in findings_of(phantom)
        for abnormality in _abnormalities(finding, device)
        for location in _locations(finding)
    }


def _abnormalities(finding: Statement, device: str) -> Iterator[str]:
    yield from _MEANING[finding.topic][0]
    if finding.topic == "nodule" and finding.size_mm > LARGE_NODULE_MM:
        yield "nodulegr1cm"
    if finding.topic == "medical device":
        yield from (name for name, words in _DEVICES.items() if words.search(device))


def _locations(finding: Statement) -> Iterator[str]:
    place = _MEANING[finding.topic][1]
    yield place
    if place == _LUNG and finding.side in ("left", "right"):
        yield f"{finding.side}_lung"
    if finding.lobe in _LOBES:
        yield _LOBES[finding.lobe]
