"""Findings drawn into a chest, synthetic or real, each with the mask of what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.space import (
    SHAPE,
    SPACING_MM,
    Field,
    Mask,
    box_around,
    ellipsoid,
    smooth_noise,
    upsampled,
)
from simcrop_core.phantom.truth import LOBES

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One thing drawn.

    Attributes:
        kind: what it is, a key of `wording.FINDINGS`.
        voxels: flat indices (C order) into the frame of what was drawn.
        side: "left", "right", or "" in the midline or on both sides.
        lobe: a name of `LOBES`, or "" where it lies in no single lobe.
        place: a finer place, such as "superior segment" or "subcarinal", or "".
        size_mm: largest diameter of focal lesions, else 0.
        looks: an adjective that fits ("spiculated", "patchy"), or "".
    """

    kind: str
    voxels: NDArray[np.int32]
    side: str = ""
    lobe: str = ""
    place: str = ""
    size_mm: float = 0.0
    looks: str = ""


def draw_nodule(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """A nodule of 5 to 20 mm: solid, ground-glass or calcified."""
    looks = str(rng.choice(["solid", "solid", "ground-glass", "calcified", "part-solid"]))
    hu = {"solid": rng.uniform(-20, 60), "ground-glass": rng.uniform(-650, -450), "calcified": rng.uniform(200, 700)}
    return _lesion(a, rng, lobe, "nodule", rng.uniform(2.8, 10), hu.get(looks, rng.uniform(-350, -150)), looks)


def draw_mass(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """A mass of 30 to 65 mm: spiculated, lobulated, cavitating or smooth."""
    looks = str(rng.choice(["spiculated", "spiculated", "lobulated", "cavitary", "solid"]))
    return _lesion(a, rng, lobe, "mass", rng.uniform(14, 32), rng.uniform(15, 60) + a.iodine * 0.15, looks)


def draw_consolidation(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """Dense airspace filling of part of a lobe, bronchi left open."""
    region = _patchy(a, rng, lobe, rng.uniform(16, 38), rough=0.5)
    air = a.image < -940
    cover = region * ~air
    a.image += cover * (rng.uniform(10, 60) + 0.2 * a.iodine - a.image) * rng.uniform(0.85, 1.0)
    return _in_lung(a, "consolidation", cover > 0.5, str(rng.choice(["dense", "patchy", "focal"])))


def draw_ground_glass(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """Hazy increase of density in part of a lobe, vessels still seen; mostly at the periphery."""
    region = _patchy(a, rng, lobe, rng.uniform(16, 42), rough=0.8, peripheral=rng.random() < 0.65)
    rise = rng.uniform(160, 420)
    a.image += region * rise * np.clip((-150 - a.image) / 500, 0, 1)
    if rng.random() < 0.35:
        net = np.abs(smooth_noise(rng, (56, 56, 36))) < 0.18
        a.image += region * net * 120
    looks = str(rng.choice(["patchy", "hazy", "peripheral", ""]))
    return _in_lung(a, "ground-glass opacity", region > 0.5, looks)


def draw_effusion(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """Free fluid behind and below the lung of the lobe's side, its upper edge a meniscus."""
    label = 1 if lobe <= 2 else 2
    lung = a.labels == label
    y, above = a.space.y, a.above
    level = _lowest(y, lung) + rng.uniform(8, 55)
    fill = y + 0.28 * np.maximum(above, 0) - 0.5 * np.clip(18 - a.depth, 0, 18)
    fluid = lung & (fill < level)
    a.image[fluid] = rng.uniform(0, 25)
    a.labels[fluid] = 0
    a.lobes[fluid] = 0
    looks = "small" if np.count_nonzero(fluid) < 30_000 else "large"
    return _finding("pleural effusion", fluid, side="left" if label == 1 else "right", looks=looks)


def draw_pneumothorax(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """Air in front of the lung of the lobe's side."""
    label = 1 if lobe <= 2 else 2
    lung = a.labels == label
    level = -_lowest(-a.space.y, lung) - rng.uniform(10, 40)
    air = lung & (a.space.y + 0.8 * np.clip(12 - a.depth, 0, 12) > level) & (a.depth < 40)
    a.image[air] = -995
    edge = lung & ~air & (a.space.y + 0.8 * np.clip(12 - a.depth, 0, 12) > level - 1.8) & (a.depth < 41)
    a.image[edge] += 300
    return _finding("pneumothorax", air, side="left" if label == 1 else "right")


def draw_atelectasis(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """A plate or a wedge of airless lung, mostly at the base."""
    lung = a.lobes == lobe
    if not lung.any():
        return None
    if rng.random() < 0.5:
        centre = _point(a, rng, lung & (a.above < _quantile(a.above, lung, 0.4)))
        tilt = rng.normal(0, 0.25, 3) + np.array([0, rng.normal(0, 0.3), 1])
        x, y, z = a.space.x - centre[0], a.space.y - centre[1], a.space.z - centre[2]
        plate = np.abs(x * tilt[0] + y * tilt[1] + z * tilt[2]) < rng.uniform(1.6, 4)
        mask = plate & lung & (np.hypot(x, y) < rng.uniform(18, 42))
        looks = str(rng.choice(["linear", "plate-like", "subsegmental"]))
    else:
        low = a.space.y + 0.6 * a.above < _quantile(a.space.y + 0.6 * a.above, lung, rng.uniform(0.05, 0.3))
        mask, looks = lung & low, str(rng.choice(["dependent", "compressive", ""]))
    a.image[mask] = 0.2 * a.image[mask] + rng.uniform(20, 60)
    return _in_lung(a, "atelectasis", mask, looks)


def draw_emphysema(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """Many small dark holes through a lobe, some at the pleura."""
    lung = a.lobes == lobe
    if not lung.any():
        return None
    field = smooth_noise(rng, (38, 38, 34)) + 0.5 * smooth_noise(rng, (12, 12, 10))
    holes = lung & (field > rng.uniform(0.5, 1.1)) & (a.image < -600)
    a.image[holes] = rng.uniform(-995, -965)
    a.image[lung] -= 15
    return _in_lung(a, "emphysema", lung, str(rng.choice(["centrilobular", "paraseptal", "bullous", ""])))


def draw_band(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """A thin scar between the lung's inside and the pleura."""
    lung = a.lobes == lobe
    if not lung.any():
        return None
    start = _point(a, rng, lung & (a.depth < 14))
    end = start + rng.normal(0, 1, 3) * [12, 12, 10] + np.array([-np.sign(start[0]) * 14, 0, 0])
    strand = tubes.polyline([start.tolist(), ((start + end) / 2 + rng.normal(0, 3, 3)).tolist(), end.tolist()], 1.6)
    tubes.paint(a.image, a.space, strand, rng.uniform(-80, 60), within=lung, lighter_only=True)
    return _in_lung(a, "fibrotic band", tubes.inside(a.space, strand) & lung, str(rng.choice(["linear", "thin", ""])))


def draw_bronchiectasis(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """Wide, thick-walled bronchi."""
    lung = a.lobes == lobe
    if np.count_nonzero(lung) < 2000:
        return None
    hilum = np.array([-42.0 if lobe <= 2 else 42.0, -14.0, 12.0])
    targets = np.stack([_point(a, rng, lung) for _ in range(6)])
    wide = tubes.grow_tree(rng, hilum + (targets.mean(0) - hilum) * 0.35, targets, 6.5, 3.0)
    walls = [tubes.Tube(t.start, t.end, t.radius + 2, t.end_radius + 2) for t in wide]
    tubes.paint(a.image, a.space, walls, -120, within=lung, lighter_only=True)
    tubes.paint(a.image, a.space, wide, -985, within=lung)
    return _in_lung(a, "bronchiectasis", tubes.inside(a.space, walls) & lung, "")


def draw_septal_thickening(a: Anatomy, rng: np.random.Generator, lobe: int) -> Finding | None:
    """A net of thin dense lines through the outer part of a lobe."""
    region = _patchy(a, rng, lobe, rng.uniform(25, 45), rough=0.5, peripheral=True)
    net = np.abs(smooth_noise(rng, (44, 44, 40))) < 0.14
    a.image += region * net * rng.uniform(220, 420)
    return _in_lung(a, "septal thickening", region > 0.5, "")


# Body mm of the middle of each station.
_NODES = {
    "right paratracheal": (20, -4, 66),
    "subcarinal": (6, -24, 24),
    "aortopulmonary window": (-24, 2, 46),
    "left hilar": (-44, -14, 15),
    "right hilar": (44, -14, 14),
    "prevascular": (-6, 34, 60),
    "paraoesophageal": (6, -30, -10),
}


def draw_lymphadenopathy(a: Anatomy, rng: np.random.Generator, _lobe: int) -> Finding | None:
    """Enlarged nodes at one station of the mediastinum or a hilum."""
    place = str(rng.choice(list(_NODES)))
    mask = np.zeros(SHAPE, dtype=bool)
    for _ in range(rng.integers(1, 4)):
        mask |= ellipsoid(a.space, np.array(_NODES[place]) + rng.normal(0, 5, 3), rng.uniform(6, 15, 3))
    mask &= ~np.isin(a.labels, (3, 4, 5, 8)) & a.regions["body"]
    a.image[mask] = rng.uniform(30, 60) + 0.15 * a.iodine
    a.labels[mask] = 0
    a.lobes[mask] = 0
    side = next((s for s in ("left", "right") if place.startswith(s)), "")
    return _finding("lymphadenopathy", mask, side=side, place=place)


def draw_pericardial_effusion(a: Anatomy, rng: np.random.Generator, _lobe: int) -> Finding | None:
    """Fluid around the heart."""
    mask = a.regions["pericardium"] & ~np.isin(a.labels, (3, 4, 5, 8)) & (a.above > 0) & (a.depth > 3)
    mask &= a.space.z < _quantile(a.space.z, a.labels == 4, 0.9)
    a.image[mask] = rng.uniform(0, 25)
    a.labels[mask] = 0
    a.lobes[mask] = 0
    return _finding("pericardial effusion", mask)


def draw_aortic_calcification(a: Anatomy, rng: np.random.Generator, _lobe: int) -> Finding | None:
    """Plaques in the wall of the aorta."""
    return _plaques(a, rng, a.labels == 5, "arterial calcification", int(rng.integers(6, 22)))


def draw_coronary_calcification(a: Anatomy, rng: np.random.Generator, _lobe: int) -> Finding | None:
    """Plaques along the heart's upper front surface."""
    heart = a.labels == 4
    part = heart & (a.space.z > _quantile(a.space.z, heart, 0.5)) & (a.space.y > _quantile(a.space.y, heart, 0.45))
    return _plaques(a, rng, part, "coronary calcification", int(rng.integers(3, 10)))


def draw_hiatal_hernia(a: Anatomy, rng: np.random.Generator, _lobe: int) -> Finding | None:
    """Stomach behind the heart, fluid with air on top."""
    size = rng.uniform(16, 30)
    mask = ellipsoid(a.space, (-10, -26, _quantile(a.space.z, a.labels == 4, 0.15)), (size, size * 0.85, size))
    mask &= ~np.isin(a.labels, (4, 5, 8))
    a.image[mask] = rng.uniform(20, 50)
    a.image[mask & (a.space.y > -26 + size * rng.uniform(0.0, 0.5))] = -950
    a.labels[mask] = 0
    a.lobes[mask] = 0
    return _finding("hiatal hernia", mask)


def draw_device(a: Anatomy, rng: np.random.Generator, _lobe: int) -> Finding | None:
    """A central venous line from the neck into the superior vena cava."""
    line = tubes.polyline([[42, 14, 124], [30, 14, 96], [27, 8, 60], [27, 6, rng.uniform(0, 30)]], 1.4)
    tubes.paint(a.image, a.space, line, 2200)
    return _finding("medical device", tubes.inside(a.space, [tubes.Tube(t.start, t.end, 3, 3) for t in line]))


Drawer = Callable[[Anatomy, np.random.Generator, int], "Finding | None"]

IN_LUNG: dict[str, Drawer] = {
    "nodule": draw_nodule, "mass": draw_mass, "consolidation": draw_consolidation,
    "ground-glass opacity": draw_ground_glass, "atelectasis": draw_atelectasis, "emphysema": draw_emphysema,
    "fibrotic band": draw_band, "bronchiectasis": draw_bronchiectasis, "septal thickening": draw_septal_thickening,
}  # fmt: skip
ELSEWHERE: dict[str, Drawer] = {
    "pleural effusion": draw_effusion, "pneumothorax": draw_pneumothorax, "lymphadenopathy": draw_lymphadenopathy,
    "pericardial effusion": draw_pericardial_effusion, "arterial calcification": draw_aortic_calcification,
    "coronary calcification": draw_coronary_calcification, "hiatal hernia": draw_hiatal_hernia,
    "medical device": draw_device,
}  # fmt: skip


def _lesion(
    a: Anatomy, rng: np.random.Generator, lobe: int, kind: str, radius: float, hu: float, looks: str
) -> Finding | None:
    """A rounded lesion in a lobe, its outline roughened, cut off where the lung ends."""
    region = (a.lobes == lobe) & (a.depth > min(radius * 0.6, 8))
    if not region.any():
        return None
    centre = _point(a, rng, region)
    box = box_around(a.space, centre, radius * 1.7)
    shape = tuple(s.stop - s.start for s in box)
    rough = {"spiculated": 0.32, "lobulated": 0.25}.get(looks, 0.1)
    fine = 9 if looks == "spiculated" else 5
    squash = rng.uniform(0.8, 1.25, 3)
    away = np.sqrt(
        sum(((f[box] - c) / q) ** 2 for f, c, q in zip((a.space.x, a.space.y, a.space.z), centre, squash, strict=True))
    )
    noise = upsampled(rng.normal(0, 1, (fine,) * 3), (shape[0], shape[1], shape[2]))
    inside: Field = (radius * (1 + rough * noise) - away) / (2.5 if looks == "ground-glass" else 1.2)
    lung = (a.labels[box] == 1) | (a.labels[box] == 2)
    cover = np.clip(inside + 0.5, 0, 1) * lung
    a.image[box] += cover * (np.float32(hu) - a.image[box]) * (a.image[box] < hu)
    if looks == "spiculated":
        rays = rng.normal(0, 1, (14, 3))
        rays *= (radius * rng.uniform(1.3, 1.8, (14, 1))) / np.linalg.norm(rays, axis=1, keepdims=True)
        spikes = [tubes.Tube(centre + r * 0.4, centre + r, 1.6, 0.4) for r in rays]
        tubes.paint(a.image, a.space, spikes, hu, within=a.lung(), lighter_only=True)
    if looks == "cavitary":
        a.image[box][(away < radius * 0.5) & lung] = -900
    if looks == "part-solid":
        a.image[box][(away < radius * 0.5) & lung] = 20
    mask = np.zeros(SHAPE, dtype=bool)
    mask[box] = cover > 0.5
    return _in_lung(a, kind, mask, looks, size_mm=2 * radius)


def _patchy(
    a: Anatomy, rng: np.random.Generator, lobe: int, reach: float, *, rough: float, peripheral: bool = False
) -> Field:
    """0…1 cover of an irregular part of a lobe about `reach` mm around a random point of it."""
    lung = (a.lobes == lobe) & (a.labels > 0)
    region = lung & (a.depth < 16) if peripheral else lung
    if not region.any():
        return np.zeros(SHAPE, dtype=np.float32)
    centre = _point(a, rng, region)
    away = np.sqrt((a.space.x - centre[0]) ** 2 + (a.space.y - centre[1]) ** 2 + (a.space.z - centre[2]) ** 2)
    ragged = away / np.float32(reach) + np.float32(rough * 0.4) * smooth_noise(rng, (18, 18, 15))
    if peripheral:
        ragged = ragged + np.clip(a.depth / 35, 0, 2) * 0.5
    cover: Field = np.clip((1 - ragged) * 5, 0, 1).astype(np.float32) * lung
    return cover


def _plaques(a: Anatomy, rng: np.random.Generator, vessel: Mask, kind: str, count: int) -> Finding | None:
    """Small dense spots on a structure's surface."""
    surface = vessel.copy()
    surface[1:-1, 1:-1] &= ~(vessel[2:, 1:-1] & vessel[:-2, 1:-1] & vessel[1:-1, 2:] & vessel[1:-1, :-2])
    if np.count_nonzero(surface) < 50:
        return None
    mask = np.zeros(SHAPE, dtype=bool)
    for _ in range(count):
        mask |= ellipsoid(a.space, _point(a, rng, surface), rng.uniform(1.5, 4.5, 3))
    mask &= a.regions["body"] & ~a.lung()
    a.image[mask] = rng.uniform(350, 1100)
    return _finding(kind, mask)


def _in_lung(a: Anatomy, kind: str, mask: Mask, looks: str, *, size_mm: float = 0.0) -> Finding | None:
    """Name the lobe, side and finer place of something drawn in the lung; None where almost nothing was."""
    voxels = np.flatnonzero(mask).astype(np.int32)
    if voxels.size * float(np.prod(SPACING_MM)) < 60:
        return None
    lobe = int(np.bincount(a.lobes.ravel()[voxels], minlength=6)[1:].argmax()) + 1
    whole_lobe = kind == "emphysema"
    place = "" if whole_lobe else _place(a, lobe, voxels)
    return Finding(kind, voxels, "left" if lobe <= 2 else "right", LOBES[lobe], place, size_mm, looks)


def _place(a: Anatomy, lobe: int, voxels: NDArray[np.int32]) -> str:
    """A segment or part of the lobe, where the lesion clearly lies in one."""
    height = float(np.median(a.space.z.ravel()[voxels]))
    front = float(np.median(a.space.y.ravel()[voxels]))
    lung = a.lobes == lobe
    if lobe in (2, 5):
        if height > _quantile(a.space.z, lung, 0.68):
            return "superior segment"
        return "posterior basal segment" if front < _quantile(a.space.y, lung, 0.4) else "basal segments"
    if lobe == 1 and height < _quantile(a.space.z, lung, 0.35):
        return "lingula"
    if lobe in (1, 3) and height > _quantile(a.space.z, lung, 0.7):
        return "apex"
    if lobe in (1, 3) and front > _quantile(a.space.y, lung, 0.6):
        return "anterior segment"
    return ""


def _finding(kind: str, mask: Mask, *, side: str = "", place: str = "", looks: str = "") -> Finding | None:
    voxels = np.flatnonzero(mask).astype(np.int32)
    return Finding(kind, voxels, side, "", place, 0.0, looks) if voxels.size >= 12 else None


def _point(a: Anatomy, rng: np.random.Generator, region: Mask) -> NDArray[np.float64]:
    """A random voxel of a region, as body mm (3,)."""
    flat = np.flatnonzero(region)
    pick = flat[rng.integers(flat.size)] if flat.size else np.flatnonzero(a.lung())[0]
    return np.array([f.ravel()[pick] for f in (a.space.x, a.space.y, a.space.z)], dtype=np.float64)


def _quantile(values: Field, region: Mask, q: float) -> float:
    inside = values[region][::17]
    return float(np.quantile(inside, q)) if inside.size else 0.0


def _lowest(values: Field, region: Mask) -> float:
    return _quantile(values, region, 0.01)
