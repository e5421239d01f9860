"""A standard chest out of implicit shapes: body wall, skeleton, lungs and lobes, mediastinum, upper abdomen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.space import SHAPE, Field, Mask, Space, body_space, ellipsoid, smooth_noise
from simcrop_core.phantom.style_a.tubes import polyline


@dataclass(slots=True, eq=False)
class Anatomy:
    """One person as drawn so far; findings change the image and read the rest.

    Attributes:
        space: where every voxel lies in the standard body.
        image: (224, 224, 112) HU.
        labels: uint8, indices of `LABELS`.
        lobes: uint8, indices of `LOBES`.
        depth: mm below the pleura of the chest wall; negative outside it.
        above: mm above the diaphragm.
        regions: further named structures that sentences may point at.
        iodine: HU that contrast medium adds in large vessels; 0 without contrast.
    """

    space: Space
    image: Field
    labels: NDArray[np.uint8]
    lobes: NDArray[np.uint8]
    depth: Field
    above: Field
    regions: dict[str, Mask] = field(default_factory=dict)
    iodine: float = 0.0

    def lung(self) -> Mask:
        """Voxels of both lungs."""
        lung: Mask = (self.labels == 1) | (self.labels == 2)
        return lung


def draw_anatomy(rng: np.random.Generator, *, heart: float = 1.0) -> Anatomy:
    """Draw one healthy person (HU, before scanner effects); `heart` widens the heart by that factor."""
    space = body_space(rng)
    depth, above = _cavity(space, rng), _above_diaphragm(space, rng)
    image = np.full(SHAPE, -1000, dtype=np.float32)
    a = Anatomy(space, image, np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8), depth, above)
    a.iodine = float(rng.choice([0.0, rng.uniform(60, 180), rng.uniform(150, 330)]))
    texture = smooth_noise(rng, (45, 45, 28))
    _body_wall(a, rng, texture)
    _skeleton(a, rng, texture)
    _lungs(a, rng, texture)
    _abdomen(a, rng, texture)
    _mediastinum(a, rng, texture, heart)
    _airways(a, rng)
    _lung_vessels(a, rng)
    return a


def _cavity(space: Space, rng: np.random.Generator) -> Field:
    """The rib cage's inner surface: an in-plane superellipse that narrows to a dome at the top."""
    top = np.clip(space.z / np.float32(rng.uniform(124, 134)), 0, 0.995)
    narrow = (1 - top**2.6) ** 0.42
    power = np.float32(rng.uniform(2.2, 2.7))
    across = np.abs(space.x) / (np.float32(rng.uniform(126, 136)) * narrow)
    deep = np.abs(space.y + 14 * top**2) / (np.float32(rng.uniform(80, 92)) * (1 - top**3) ** 0.42)
    depth: Field = ((1 - (across**power + deep**power) ** (1 / power)) * 95).astype(np.float32)
    return depth


def _above_diaphragm(space: Space, rng: np.random.Generator) -> Field:
    """Height above the diaphragm's two domes, right a little higher than left."""
    breath = rng.uniform(-22, 18)
    right, left = np.float32(-78 + breath + rng.normal(0, 4)), np.float32(-88 + breath + rng.normal(0, 5))
    blend = np.clip(space.x / 60 + 0.5, 0, 1)
    lateral = np.abs(space.x) - 62
    side = np.where(lateral > 0, 50 * (lateral / 68) ** 2, 14 * (lateral / 62) ** 2)
    front = (space.y - 18) / 88
    surface = left + (right - left) * blend - side - np.where(front > 0, 26, 62) * front**2
    above: Field = (space.z - surface).astype(np.float32)
    return above


def _body_wall(a: Anatomy, rng: np.random.Generator, texture: Field) -> None:
    """Skin, fat and muscle around the cavity, arms beside it or not, and the table below."""
    s = a.space
    fat, arms_down = rng.uniform(6, 38), rng.random() < 0.25
    shoulder = np.clip((s.z - 30) / 90, 0, 1)
    half_x = 148 + fat + shoulder * (60 if arms_down else 22)
    half_y = 108 + fat * 0.7 - shoulder * rng.uniform(0, 18)
    outline = (np.abs(s.x / half_x) ** 2.5 + np.abs((s.y + 8) / half_y) ** 2.5) ** np.float32(0.4)
    depth = (1 - outline) * 115
    body = depth > 0
    muscle = rng.uniform(10, 22)
    layer = -a.depth + texture * 1.5
    back = np.clip(-s.y / 80, 0, 1) * np.exp(-((np.abs(s.x) - 35) ** 2) / 900)
    chest = np.clip((s.z - 10) / 60, 0, 1) * np.clip((np.abs(s.x) - 15) / 30, 0, 1)
    lean = body & (layer < muscle * (0.55 + 0.9 * chest + 1.4 * back))
    a.image[body] = (-104 + 9 * texture)[body]
    a.image[lean] = (46 + 10 * texture)[lean]
    streaks = lean & (np.abs(layer - muscle * 0.55) < 1.5) & (texture > 0)
    a.image[streaks] = -60
    a.image[body & (depth < 2.5)] = 10
    a.regions["body"] = body
    if rng.random() < 0.85:
        level = s.y + 8 + half_y.max() + rng.uniform(2, 10) - (s.x / 220) ** 2 * rng.uniform(0, 45)
        a.image[(np.abs(level) < 2.2) & ~body] = rng.uniform(-200, 150)
        a.image[(level < -2.2) & (level > -rng.uniform(15, 40)) & ~body] = rng.uniform(-960, -850)


def _skeleton(a: Anatomy, rng: np.random.Generator, texture: Field) -> None:
    """Vertebrae with canal and processes, ribs, sternum, scapulae, clavicles."""
    s, image = a.space, a.image
    pitch = np.float32(rng.uniform(21, 26))
    marrow, cortex = rng.uniform(110, 220), rng.uniform(350, 700)
    bow = -62 + 14 * ((s.z + 20) / 130) ** 2
    x, y = s.x, s.y - bow
    phase = np.abs((s.z / pitch) % 1 - 0.5) * pitch
    disc = phase > pitch * 0.5 - 3
    radius = np.sqrt((x / 18) ** 2 + (y / 14.5) ** 2)
    body = (radius < 1) & (y > -14)
    arch = (np.hypot(x, y + 23) < 17) & (y < -12) & (phase < pitch * 0.33)
    arch |= (np.abs(x) < 3) & (y < -30) & (y > -58 + phase) & (phase < pitch * 0.36)
    arch |= (np.abs(x) < 34) & (np.abs(y + 22 + np.abs(x) * 0.15) < 5) & (phase < pitch * 0.2)
    canal = np.hypot(x, y + 22) < 8.5
    image[body] = (marrow + 35 * texture)[body]
    image[body & (radius > 0.88) & ~disc] = cortex
    image[body & disc] = 85
    image[arch] = cortex * 0.7
    image[canal] = 25
    spine = body | arch | canal
    a.labels[spine] = 8
    shell = -a.depth
    slope = rng.uniform(0.3, 0.55)
    rib_phase = np.abs(((s.z + slope * s.y) / pitch + 0.3) % 1 - 0.5) * pitch
    ribs = (shell > 0.5) & (shell < 9) & (rib_phase < 5.5) & (s.y < 74) & (np.abs(s.x) > 20) & ~spine
    edge = ribs & ((shell < 2.5) | (shell > 7) | (rib_phase > 3.5))
    cartilage = ribs & (s.y > 52)
    image[ribs] = marrow
    image[edge] = cortex * 0.8
    image[cartilage] = 95
    a.regions["ribs"] = ribs
    sternum = (np.abs(s.x) < 15) & (np.abs(shell - 6) < 5.5) & (s.y > 20) & (s.z > -60)
    image[sternum] = (marrow * 0.8 + 30 * texture)[sternum]
    image[sternum & ((np.abs(shell - 6) > 4) | (np.abs(s.x) > 13))] = cortex * 0.6
    a.regions["sternum"] = sternum
    lift = shell - 17 - np.clip(s.z - 40, 0, 80) * 0.12
    blade = (np.abs(lift) < 2.5) & (s.z > 5) & (s.z < 118) & (s.y < 0) & (np.abs(s.x) > 52) & (np.abs(s.x) < 135)
    image[blade] = cortex * 0.8
    for side in (-1, 1):
        line = [[side * 20, 62, 104], [side * 70, 66, 112], [side * 135, 10, 124]]
        tubes.paint(image, s, polyline(line, 6.5), cortex * 0.7)
        head = [[side * 160, -8, 112], [side * 165, -8, 118]] if rng.random() < 0.6 else [[side * 150, 0, 124]] * 2
        tubes.paint(image, s, polyline(head, 22), marrow * 1.4)


def _lungs(a: Anatomy, rng: np.random.Generator, texture: Field) -> None:
    """Both lungs inside the cavity, above the diaphragm, beside the mediastinum; the fissures between their lobes."""
    s = a.space
    apex = 119 - 45 * ((np.abs(s.x) - 55) / 56) ** 2 - 22 * ((s.y + 14) / 70) ** 2
    inner = (a.depth > 1.4) & (a.above > 0) & (s.z < apex)
    front, upper = np.clip(s.y / 60, -1, 1), np.clip((s.z - 20) / 80, 0, 1)
    middle = 24 - 14 * np.clip(front, 0, 1) + 6 * upper + 7 * np.exp(-(((s.z - 15) / 22) ** 2))
    middle = middle + 5 * smooth_noise(rng, (7, 7, 9))
    outside_spine = np.hypot(s.x / 23, (s.y + 62 - 14 * ((s.z + 20) / 130) ** 2) / 21) > 1
    right = inner & (s.x > middle) & outside_spine
    left = inner & (s.x < -middle) & outside_spine
    density = rng.uniform(-895, -800)
    lung_hu = density - 0.35 * s.y * rng.uniform(0, 1.5) + 14 * texture + 16 * smooth_noise(rng, (14, 14, 10))
    curve = 6 * smooth_noise(rng, (4, 4, 4))
    oblique = s.z + rng.uniform(0.9, 1.25) * (s.y + rng.uniform(8, 20)) + curve
    horizontal = s.z - rng.uniform(-8, 14) + 0.12 * s.y + curve
    for mask, label, lower in ((left, 1, 2), (right, 2, 5)):
        a.labels[mask] = label
        a.image[mask] = lung_hu[mask]
        a.lobes[mask] = np.where(oblique[mask] < 0, lower, 1 if label == 1 else np.where(horizontal[mask] > 0, 3, 4))
    fissure = (left | right) & (np.abs(oblique) < 1.6) | right & (oblique > 0) & (np.abs(horizontal) < 1.8)
    a.image[fissure] += rng.uniform(40, 160)
    cavity = (a.depth > 1.4) & (a.above > 0) & ~left & ~right & (a.labels == 0)
    a.image[cavity] = (-75 + 25 * texture)[cavity]
    a.regions["mediastinum"] = cavity & (s.z > -40) & (np.abs(s.x) < 50)


def _abdomen(a: Anatomy, rng: np.random.Generator, texture: Field) -> None:
    """Below the diaphragm: fat, liver, spleen, stomach with gas on top, kidneys, loops of bowel."""
    s, image = a.space, a.image
    inner = (a.depth > 0) & (a.above < -2) & (a.labels == 0)
    image[inner] = (-100 + 14 * texture)[inner]
    image[(a.depth > 0) & (np.abs(a.above) <= 2.5) & (a.labels == 0)] = 45
    uptake = a.iodine * rng.uniform(0.1, 0.4)
    free = inner.copy()
    lower = s.z - (-118 - (s.x + 42) * rng.uniform(0.75, 1.15))
    liver = free & (a.above < -3) & (lower > 0) & (s.x > -78) & (s.y > -72 - s.x * 0.2) & (a.depth > 3.3)
    liver &= s.y > -0.75 * s.x - 30
    a.labels[liver] = 6
    image[liver] = (rng.uniform(38, 66) + uptake + 7 * texture)[liver]
    free &= ~liver
    spleen = free & ellipsoid(s, (-88, -34, -142 + rng.normal(0, 7)), (30, 46, rng.uniform(40, 60))) & (a.depth > 3)
    a.labels[spleen] = 7
    image[spleen] = (rng.uniform(42, 58) + uptake * 1.1 + 7 * texture)[spleen]
    free &= ~spleen
    stomach = free & ellipsoid(s, (-52 + rng.normal(0, 8), 18, -128 + rng.normal(0, 10)), (38, 45, 36))
    image[stomach] = (rng.uniform(5, 60) + 18 * texture)[stomach]
    image[stomach & (s.y > rng.uniform(-5, 45))] = -970
    a.regions["stomach"] = stomach
    free &= ~stomach
    for side in (-1, 1):
        kidney = free & ellipsoid(s, (side * 58, -50, -185 + side * -8), (26, 26, 52))
        image[kidney] = (32 + a.iodine * 0.5 + 5 * texture)[kidney]
        free &= ~kidney
        a.regions["left kidney" if side < 0 else "right kidney"] = kidney
    for _ in range(14):
        centre = rng.uniform([-110, -20, -215], [110, 70, -120])
        loop = free & ellipsoid(s, centre, rng.uniform(12, 30, 3))
        image[loop] = rng.choice([-900.0, 20.0, 40.0, 60.0])
        free &= ~loop


def _mediastinum(a: Anatomy, rng: np.random.Generator, texture: Field, enlarged: float) -> None:
    """Heart with its chambers, aorta, pulmonary trunk, caval veins, arch branches, oesophagus, small nodes."""
    s, image = a.space, a.image
    blood = 42 + a.iodine
    size = rng.uniform(0.86, 1.04) * enlarged
    heart_axis = [-20 + rng.normal(0, 3), 16, _floor(a) + 40 * size]
    heart = ellipsoid(s, heart_axis, (57 * size, 46 * size, 49 * size), lean=0.35) & (a.above > 1) & (a.depth > 4)
    a.regions["pericardium"] = ellipsoid(s, heart_axis, (66 * size, 54 * size, 57 * size), lean=0.35)
    rim = ellipsoid(s, heart_axis, (60 * size, 49 * size, 52 * size), lean=0.35) & (a.above > 0) & (a.labels != 8)
    for mask in (rim, heart):
        a.labels[mask] = 0
        a.lobes[mask] = 0
    image[rim] = -85
    a.labels[heart] = 4
    image[heart] = (44 + 0.3 * a.iodine + 8 * texture)[heart]
    cx, cy, cz = heart_axis
    for dx, dy, dz, r, share in (
        (-26, 2, -6, 21, 1.0),
        (8, 18, -4, 21, 0.8),
        (2, -22, 20, 20, 1.0),
        (32, 4, 12, 19, 0.7),
    ):
        chamber = heart & ellipsoid(s, (cx + dx * size, cy + dy * size, cz + dz * size), (r * size,) * 3)
        image[chamber] = (42 + share * a.iodine + 6 * texture)[chamber]
    wide = rng.uniform(12, 17)
    arch = rng.uniform(60, 74)
    up: list[list[float]] = [
        [2, 10, -8],
        [14, 18, 22],
        [14, 16, arch - 16],
        [2, 4, arch],
        [-14, -18, arch],
        [-21, -36, arch - 18],
    ]
    down: list[list[float]] = [[-21, -40, arch - 45], [-22, -42, 0], [-19, -42, -60], [-10, -42, -120], [0, -40, -190]]
    aorta_tubes = polyline(up + down, [wide * 1.15] * 4 + [wide * 0.95] * 4 + [wide * 0.75] * 3)
    trunk = polyline([[-16, 34, 2], [-24, 22, 26], [-30, -4, 32], [-52, -18, 26]], [14, 14, 12, 9])
    trunk += polyline([[-24, 18, 28], [4, -4, 26], [34, -12, 20], [54, -16, 12]], [12, 11, 10, 8])
    veins = polyline([[28, 6, 0], [28, 8, 50], [26, 12, 84]], 9.5) + polyline([[24, -8, -50], [28, -14, -110]], 11)
    veins += polyline([[26, 14, 84], [-10, 26, 88], [-40, 24, 106]], 6.5) + polyline([[26, 14, 84], [45, 20, 110]], 6.5)
    branches = polyline([[6, 8, arch + 8], [16, 4, 100], [26, 0, 140]], 6)
    branches += polyline([[-4, 0, arch + 8], [-12, 0, 100], [-18, -2, 140]], 4) + polyline(
        [[-12, -12, arch + 8], [-20, -12, 100], [-45, -8, 124]], 5
    )
    gullet = polyline([[-2, -24, 130], [-4, -30, 70], [-6, -32, 20], [-8, -34, -50], [-24, -22, -100]], 7)
    for group, hu in (
        (gullet, 40.0),
        (trunk, blood),
        (veins, 40 + a.iodine * rng.uniform(0.5, 1.4)),
        (branches, blood),
    ):
        tubes.paint(image, s, group, hu)
    if rng.random() < 0.5:
        tubes.paint(image, s, gullet, -700, within=texture > 1.0)
    tubes.paint(image, s, aorta_tubes, 42 + a.iodine * rng.uniform(0.7, 1.1))
    for name, group in (
        ("aorta", aorta_tubes),
        ("pulmonary artery", trunk),
        ("superior vena cava", veins[:10]),
        ("oesophagus", gullet),
    ):
        mask = tubes.inside(s, group)
        a.lobes[mask] = 0
        a.labels[mask] = 5 if name == "aorta" else 0
        a.regions[name] = mask
    a.regions["aortic arch"] = a.regions["aorta"] & (s.z > arch - 22)
    a.regions["descending aorta"] = a.regions["aorta"] & (s.y < -26)
    a.regions["ascending aorta"] = a.regions["aorta"] & (s.y > 2) & (s.z > -4)
    for centre in rng.uniform([-32, -18, 0], [38, 30, 80], (rng.integers(2, 9), 3)):
        node = ellipsoid(s, centre, rng.uniform(2, 4.5, 3)) & a.regions["mediastinum"]
        image[node] = 45


def _floor(a: Anatomy) -> float:
    """Body z (mm) of the diaphragm below the heart."""
    near = (np.abs(a.space.x + 15) < 6) & (np.abs(a.space.y - 18) < 6) & (np.abs(a.above) < 4)
    return float(np.median(a.space.z[near])) if near.any() else -88.0


def _airways(a: Anatomy, rng: np.random.Generator) -> None:
    """Trachea, main, lobar and segmental bronchi: lumen, wall, label (trachea and main bronchi)."""
    s = a.space
    carina = np.array([3.0, -14.0, rng.uniform(38, 48)])
    main = polyline([[0, -4, 160], [1, -6, 110], carina.tolist()], rng.uniform(7.5, 10))
    right = [carina.tolist(), [22, -17, carina[2] - 14], [38, -18, carina[2] - 26]]
    left = [carina.tolist(), [-22, -18, carina[2] - 14], [-44, -20, carina[2] - 30]]
    main += polyline(right, [8, 7.5, 6.5]) + polyline(left, [7.5, 6.5, 6])
    twigs: list[tubes.Tube] = []
    for root, lobes in ((right[-1], (3, 4, 5)), (left[-1], (1, 2))):
        for lobe in lobes:
            targets = _targets(a, rng, lobe, 9, margin=24)
            if len(targets):
                twigs += tubes.grow_tree(rng, np.asarray(root, dtype=np.float64), targets, 4.6, 1.1)
    for t in main + twigs:
        wall = tubes.Tube(t.start, t.end, t.radius + 1.3, t.end_radius + 0.8)
        tubes.paint(a.image, s, [wall], -40 if t.radius > 4 else -350, lighter_only=True)
    tubes.paint(a.image, s, main + twigs, -985)
    trachea = tubes.inside(s, main)
    a.labels[trachea] = 3
    a.lobes[trachea] = 0
    a.regions["carina"] = trachea & (np.abs(s.z - carina[2]) < 12)


def _lung_vessels(a: Anatomy, rng: np.random.Generator) -> None:
    """Pulmonary arteries and veins from each hilum to the periphery of every lobe."""
    lung = a.lung()
    hu = 35 + a.iodine * 0.8
    hila = np.zeros(SHAPE, dtype=bool)
    for side, lobes in ((-1, (1, 2)), (1, (3, 4, 5))):
        for lobe in lobes:
            root = np.array([side * rng.uniform(38, 48), -14.0, rng.uniform(5, 28)])
            targets = _targets(a, rng, lobe, int(rng.integers(70, 130)), margin=2.5)
            if len(targets):
                tree = tubes.grow_tree(rng, root, targets, rng.uniform(5.5, 7.5), 0.55)
                tubes.paint(a.image, a.space, tree, hu, within=lung, lighter_only=True)
        hila |= ellipsoid(a.space, (side * 44, -14, 15), (16, 18, 24))
        a.regions["left hilum" if side < 0 else "right hilum"] = ellipsoid(a.space, (side * 44, -14, 15), (16, 18, 24))


def _targets(a: Anatomy, rng: np.random.Generator, lobe: int, count: int, margin: float) -> NDArray[np.float64]:
    """Random points (n, 3) in body mm inside one lobe, further than `margin` mm from the chest wall."""
    flat = np.flatnonzero(((a.lobes == lobe) & (a.depth > margin)).ravel()[::7]) * 7
    if not len(flat):
        return np.zeros((0, 3))
    pick = rng.choice(flat, min(count, len(flat)), replace=False)
    return np.stack([f.ravel()[pick] for f in (a.space.x, a.space.y, a.space.z)], -1).astype(np.float64)
