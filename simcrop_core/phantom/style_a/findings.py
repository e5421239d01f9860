"""All findings there are, and how to draw any of them into a chest, synthetic or real."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from simcrop_core.phantom.style_a import diffuse, lesions, outside
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.choose import choose
from simcrop_core.phantom.style_a.finding import Drawn, Finding
from simcrop_core.phantom.style_a.space import Mask
from simcrop_core.phantom.truth import LOBES

Drawer = Callable[[Anatomy, Finding], Mask]

IN_LUNG: dict[str, Drawer] = {
    "nodule": lesions.draw_nodule,
    "mass": lesions.draw_mass,
    "consolidation": lesions.draw_consolidation,
    "ground-glass opacity": lesions.draw_ground_glass,
    "atelectasis": lesions.draw_atelectasis,
    "fibrotic band": lesions.draw_band,
    "emphysema": diffuse.draw_emphysema,
    "mosaic attenuation": diffuse.draw_mosaic,
    "bronchiectasis": diffuse.draw_bronchiectasis,
    "peribronchial thickening": diffuse.draw_peribronchial,
    "septal thickening": diffuse.draw_septal_thickening,
}
ELSEWHERE: dict[str, Drawer] = {
    "pleural effusion": outside.draw_effusion,
    "pneumothorax": outside.draw_pneumothorax,
    "lymphadenopathy": outside.draw_lymphadenopathy,
    "pericardial effusion": outside.draw_pericardial_effusion,
    "arterial calcification": outside.draw_aortic_calcification,
    "coronary calcification": outside.draw_coronary_calcification,
    "hiatal hernia": outside.draw_hiatal_hernia,
    "medical device": outside.draw_device,
    "cardiomegaly": outside.draw_cardiomegaly,
}
# Findings of the lung twice as often as the others, masses and nodules more often still.
KINDS = (*IN_LUNG, *IN_LUNG, "mass", "mass", "nodule", "nodule", *(k for k in ELSEWHERE if k != "cardiomegaly"))
# Drawn smaller than this (mm³) a finding is no finding.
_LEAST_MM3 = 60.0
# A mass fills at least this share of its diameter's cube: fissure and pleura may cut off no more.
_MASS_SHARE = 0.2
_FOCAL = ("nodule", "coronary calcification", "arterial calcification", "fibrotic band", "medical device")
# Label of the organ whose wall holds them, and how much of it (mm³) must be seen.
_IN_WALL_OF = {"arterial calcification": 5, "coronary calcification": 4}
_LEAST_ORGAN_MM3 = 60_000.0
# What changes a whole lobe or the pleura comes before what it would erase.
_ORDER = (
    "emphysema",
    "mosaic attenuation",
    "pneumothorax",
    "pleural effusion",
    "pericardial effusion",
    "hiatal hernia",
)


def choose_findings(
    a: Anatomy, rng: np.random.Generator, count: int, kinds: Sequence[str] = KINDS, *, within: Mask | None = None
) -> list[Finding]:
    """Decide up to `count` findings, in the order to draw them; two never share a kind and a lobe.

    Each is drawn into `a` while deciding, so that the next finds what is left. Of what lies in no lung, most must lie
    `within` the voxels that are scanned.
    """
    lobes = [lobe for lobe in range(1, len(LOBES)) if np.count_nonzero(a.lobes == lobe) * a.grid.voxel_mm3 > 60_000]
    wanted = [(str(rng.choice(list(kinds))), int(rng.choice(lobes))) for _ in range(count if lobes else 0)]
    wanted.sort(key=lambda w: _ORDER.index(w[0]) if w[0] in _ORDER else len(_ORDER))
    found: list[Finding] = []
    for kind, lobe in wanted:
        if kind in ELSEWHERE and kind not in ("pleural effusion", "pneumothorax") and "body" not in a.regions:
            continue
        organ = _IN_WALL_OF.get(kind)
        if organ is not None and np.count_nonzero(a.labels == organ) * a.grid.voxel_mm3 < _LEAST_ORGAN_MM3:
            continue
        f = choose(a, rng, kind, lobe, kind in IN_LUNG)
        if f is None or any(_same(f, g) for g in found):
            continue
        mask = draw_finding(a, f)
        voxels = np.count_nonzero(mask)
        seen = np.count_nonzero(mask & within) if within is not None else voxels
        least = _MASS_SHARE * f.size_mm**3 if kind == "mass" else _LEAST_MM3
        if 2 * seen >= voxels and (seen * a.grid.voxel_mm3 >= least or kind in _FOCAL):
            found.append(f)
    return found


def draw_finding(a: Anatomy, f: Finding) -> Mask:
    """Draw a finding into the image and the labels; the voxels it covers."""
    mask = (IN_LUNG.get(f.kind) or ELSEWHERE[f.kind])(a, f)
    if f.lobe and f.kind in _FOCAL and not mask.any():  # finer than the grid's voxels
        mask[a.space.voxel_at(f.centre)] = True
    return mask


def draw_findings(a: Anatomy, rng: np.random.Generator, count: int, kinds: Sequence[str] = KINDS) -> list[Drawn]:
    """Decide and draw findings of random kinds into one chest."""
    lobes, labels, image = a.lobes.copy(), a.labels.copy(), a.image.copy()
    chosen = choose_findings(a, rng, count, kinds)
    a.lobes[...], a.labels[...], a.image[...] = lobes, labels, image
    drawn = [Drawn(f, np.flatnonzero(draw_finding(a, f)).astype(np.int32)) for f in chosen]
    return [d for d in drawn if d.voxels.size]


def _same(f: Finding, g: Finding) -> bool:
    """Whether two findings could not be told apart in words."""
    if f.kind != g.kind:
        return False
    if f.kind in ("lymphadenopathy", "medical device"):
        return f.place == g.place and f.looks == g.looks
    return not f.lobe or not g.lobe or f.lobe == g.lobe if f.kind in IN_LUNG else f.side == g.side
