"""Decides findings: where in the chest, how large, how severe, and what they look like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.space import Field, Mask, Points
from simcrop_core.phantom.truth import LOBES

# Body mm of the middle of each station.
STATIONS = {
    "right paratracheal": (20, -4, 66),
    "subcarinal": (6, -24, 24),
    "aortopulmonary window": (-24, 2, 46),
    "left hilar": (-44, -14, 15),
    "right hilar": (44, -14, 14),
    "prevascular": (-6, 34, 60),
    "paraoesophageal": (6, -30, -10),
}
# Free fluid thrice as often as any other; a plain word stays out of the sentences.
EFFUSIONS = ("", "", "", "loculated", "subpulmonic")
DEVICES = ("central venous catheter", "port catheter", "pacemaker", "sternal wires", "aortic valve", "coronary stent")

_LOOKS: dict[str, tuple[str, ...]] = {
    "nodule": ("solid", "solid", "solid", "ground-glass", "calcified", "part-solid"),
    "mass": ("spiculated", "spiculated", "lobulated", "cavitary", "solid"),
    "consolidation": ("dense", "patchy", "focal", ""),
    "ground-glass opacity": ("patchy", "hazy", "diffuse", "peripheral", "peripheral", ""),
    "emphysema": ("centrilobular", "paraseptal", "bullous", ""),
    "fibrotic band": ("linear", "thin", ""),
    "bronchiectasis": ("cylindrical", "varicose", ""),
    "septal thickening": ("smooth", "fine", ""),
    "mosaic attenuation": ("geographic", "lobular", ""),
    "atelectasis": ("linear", "plate-like", "subsegmental", "dependent", "compressive"),
}
_DIFFUSE = ("emphysema", "mosaic attenuation", "bronchiectasis", "peribronchial thickening", "septal thickening")
# Least and largest reach (mm) of irregular areas.
_REACH = {"consolidation": (15, 38), "ground-glass opacity": (16, 44), "septal thickening": (24, 46)}


def choose(a: Anatomy, rng: np.random.Generator, kind: str, lobe: int, in_lung: bool) -> Finding | None:
    """Decide one finding of a kind; None where the chest has no room for it.

    Args:
        a: the chest, at any resolution; not changed.
        rng: random numbers.
        kind: what.
        lobe: index into `LOBES` of the lobe, or of one on the side, that it should be in.
        in_lung: whether the kind lies in a lobe.
    """
    seed = int(rng.integers(1 << 31))
    rng = np.random.default_rng([seed, 3])
    if not in_lung:
        return _outside(rng, Finding(kind, seed=seed), lobe)
    looks = str(rng.choice(_LOOKS.get(kind, ("",))))
    side = "left" if lobe <= 2 else "right"
    f = Finding(kind, side, LOBES[lobe], looks=looks, seed=seed)
    if kind in _DIFFUSE and rng.random() < 0.3:
        return replace(f, side="", lobe="", severity=_severity(rng), reach=45.0)
    region = _region(a, kind, looks, lobe)
    centre = spot(a, rng, region, lobe)
    if centre is None:
        return None
    f = replace(f, centre=(float(centre[0]), float(centre[1]), float(centre[2])))
    f = _sized(rng, f)
    whole_lobe = kind in ("emphysema", "mosaic attenuation")
    return f if whole_lobe else replace(f, place=place_of(a, lobe, centre))


def spot(a: Anatomy, rng: np.random.Generator, region: Mask, lobe: int) -> Points | None:
    """A random point (3,) in body mm of a region of one lobe's side; None where there is none."""
    found = spots(a, rng, region, lobe, 1)
    return found[0] if len(found) else None


def spots(a: Anatomy, rng: np.random.Generator, region: Mask, lobe: int, count: int) -> Points:
    """Up to `count` random points (n, 3) of a region of one lobe's side, the same at any resolution but at its edge.

    In body mm.
    """
    side = -1 if lobe <= 2 else 1
    points = rng.uniform([0, -95, -150], [134, 95, 118], (500 + 50 * count, 3)) * [side, 1, 1]
    at = np.rint(a.space.to_grid(points) / a.grid.spacing_mm + (np.array(a.grid.shape) - 1) / 2).astype(int)
    index = np.clip(at, 0, np.array(a.grid.shape) - 1)
    inside = region[index[:, 0], index[:, 1], index[:, 2]] & (index == at).all(1)
    found: Points = points[inside][:count]
    return found


def place_of(a: Anatomy, lobe: int, centre: Points) -> str:
    """A segment or part of the lobe, where the point clearly lies in one."""
    _, y, z = centre
    lung = a.lobes == lobe
    if lobe in (2, 5):
        if z > quantile(a.space.z, lung, 0.7):
            return "superior segment"
        back = y < quantile(a.space.y, lung, 0.4)
        return ("posterior basal segment" if back else "basal segments") if z < quantile(a.space.z, lung, 0.55) else ""
    if lobe == 1 and z < quantile(a.space.z, lung, 0.3) and y > quantile(a.space.y, lung, 0.4):
        return "lingula"
    if lobe in (1, 3) and z > quantile(a.space.z, lung, 0.75):
        return "apex"
    if lobe in (1, 3) and y > quantile(a.space.y, lung, 0.65):
        return "anterior segment"
    return ""


def quantile(values: Field, region: Mask, q: float) -> float:
    """A quantile of a field over a region, from a sample of its voxels; 0 where the region is empty."""
    inside = values[region]
    inside = inside[:: max(1, inside.size // 4000)]
    return float(np.quantile(inside, q)) if inside.size else 0.0


def _region(a: Anatomy, kind: str, looks: str, lobe: int) -> Mask:
    """Where in its lobe a kind of finding begins."""
    lung: Mask = (a.lobes == lobe) & a.lung()
    if kind == "nodule":
        return lung & (a.depth > 4)
    if kind == "mass":
        return lung & (a.depth > 9)
    if kind == "fibrotic band":
        return lung & (a.depth < 14)
    if kind == "septal thickening" or looks == "peripheral":
        return lung & (a.depth < 20)
    if kind == "atelectasis" and looks in ("linear", "plate-like", "subsegmental"):
        return lung & (a.above < quantile(a.above, lung, 0.45))
    return lung


def _sized(rng: np.random.Generator, f: Finding) -> Finding:
    """Size and severity."""
    if f.kind == "nodule":
        several = bool(rng.random() < 0.22)
        radius = float(np.exp(rng.uniform(np.log(2.2), np.log(6.0 if several else 12.5))))
        return replace(f, reach=radius, size_mm=2 * radius, several=several)
    if f.kind == "mass":
        radius = float(rng.uniform(15.5, 34))
        return replace(f, reach=radius, size_mm=2 * radius)
    if f.kind in _REACH:
        low, high = _REACH[f.kind]
        reach = float(rng.uniform(low, high))
        share = (reach - low) / (high - low)
        severity = "mild" if share < 0.33 else "moderate" if share < 0.66 else "severe"
        return replace(f, reach=reach, severity=severity)
    if f.kind == "atelectasis":
        return replace(f, reach=float(rng.uniform(18, 40)), severity=_severity(rng))
    if f.kind == "fibrotic band":
        return f
    return replace(f, severity=_severity(rng), reach=float(rng.uniform(26, 44)))


def _outside(rng: np.random.Generator, f: Finding, lobe: int) -> Finding:
    """Findings of the pleura, the mediastinum, the heart and vessels."""
    side = "left" if lobe <= 2 else "right"
    size = str(rng.choice(["small", "moderate", "large"]))
    if f.kind == "pleural effusion":
        return replace(f, side=side, severity=size, looks=str(rng.choice(EFFUSIONS)))
    if f.kind == "pneumothorax":
        return replace(f, side=side, severity=size)
    if f.kind == "lymphadenopathy":
        place = str(rng.choice(list(STATIONS)))
        x, y, z = STATIONS[place]
        radius = float(rng.uniform(6.5, 14))
        at = next((s for s in ("left", "right") if place.startswith(s)), "")
        several = bool(rng.random() < 0.5)
        return replace(
            f, side=at, place=place, centre=(x, y, z), reach=radius, several=several, size_mm=round(2 * radius)
        )
    if f.kind == "medical device":
        return replace(f, looks=str(rng.choice(DEVICES)))
    if f.kind == "pericardial effusion":
        return replace(f, severity=size)
    if f.kind == "hiatal hernia":
        return replace(f, severity=size, reach={"small": 15.0, "moderate": 22.0, "large": 30.0}[size])
    return replace(f, severity=_severity(rng))


def _severity(rng: np.random.Generator) -> str:
    return str(rng.choice(["mild", "moderate", "severe"]))
