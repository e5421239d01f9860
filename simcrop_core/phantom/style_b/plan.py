"""Which findings a phantom has, and the painters that draw them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simcrop_core.phantom.style_b import lesions_central as central
from simcrop_core.phantom.style_b import lesions_diffuse as diffuse
from simcrop_core.phantom.style_b import lesions_focal as focal
from simcrop_core.phantom.style_b import lesions_pleura as pleura
from simcrop_core.phantom.style_b.finding import Finding
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import stream

Painter = Callable[[Scene, np.random.Generator], Finding | None]

# In the order in which they are drawn: what takes lung away first, then texture, then what lies in a place of its own.
PAINTERS: dict[str, Painter] = {
    "cardiomegaly": central.cardiomegaly,
    "pericardial effusion": central.pericardial_effusion,
    "hiatal hernia": central.hiatal_hernia,
    "lymphadenopathy": central.lymphadenopathy,
    "pneumothorax": pleura.pneumothorax,
    "pleural effusion": pleura.pleural_effusion,
    "mosaic attenuation": diffuse.mosaic,
    "emphysema": diffuse.emphysema,
    "consolidation": focal.consolidation,
    "mass": focal.mass,
    "atelectasis": focal.atelectasis,
    "ground-glass opacity": focal.ground_glass,
    "septal thickening": diffuse.septal_thickening,
    "bronchiectasis": diffuse.bronchiectasis,
    "peribronchial thickening": diffuse.peribronchial_thickening,
    "fibrotic band": focal.fibrotic_band,
    "nodule": focal.nodule,
    "arterial calcification": central.arterial_calcification,
    "coronary calcification": central.coronary_calcification,
    "medical device": central.medical_device,
}
_SPREAD = frozenset({"emphysema", "mosaic attenuation"})
_TRIES = 4


def planned_kinds(seed: int) -> frozenset[str]:
    """Up to six kinds of findings for a seed; one phantom in twelve is healthy."""
    rng = stream(seed, "plan")
    count = int(rng.choice(7, p=[0.08, 0.14, 0.2, 0.22, 0.18, 0.11, 0.07]))
    kinds = set(rng.choice(list(PAINTERS), count, replace=False).tolist())
    if {"pleural effusion", "pneumothorax"} <= kinds:
        kinds.discard("pneumothorax")
    return frozenset(kinds)


def draw_findings(scene: Scene, kinds: frozenset[str]) -> list[Finding]:
    """Draw each kind, where the body has room for it."""
    found: list[Finding] = []
    for kind, painter in PAINTERS.items():
        if kind not in kinds:
            continue
        rng = stream(scene.seed, kind)
        for _ in range(_TRIES):
            finding = painter(scene, rng)
            if finding is not None:
                found.append(finding)
                break
    return [_cleared(scene, f) if f.kind in _SPREAD else f for f in found]


def _cleared(scene: Scene, f: Finding) -> Finding:
    """A finding of lung texture without the places where another was drawn over it."""
    kept = f.voxels[~scene.taken.reshape(-1)[f.voxels]]
    return Finding(f.kind, f.side, f.lobe, kept, f.grade, f.form, f.site, f.size_mm)
