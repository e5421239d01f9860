"""Heart with its chambers and fat, great vessels, oesophagus, small lymph nodes, thyroid."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.space import Field, Mask, ellipsoid, roundness
from simcrop_core.phantom.style_a.tubes import Tube, polyline

# Chambers in order of drawing: offset from the heart's centre and radii, mm; which blood; wall included.
_CHAMBERS = (
    ("left atrium", (10, -28, 20), (34, 19, 22), "arteries"),
    ("right atrium", (42, 4, 8), (21, 26, 31), "veins"),
    ("right ventricle", (0, 27, -6), (42, 22, 30), "veins"),
    ("left ventricle", (-32, 2, -12), (31, 26, 24), "arteries"),
)


def draw_mediastinum(a: Anatomy, body: Body, texture: Field) -> None:
    """Everything between the lungs but the airways."""
    rng = body.stream("mediastinum")
    _heart(a, body, texture, rng)
    _vessels(a, body, rng)
    for centre in rng.uniform([-32, -18, 0], [38, 30, 80], (6, 3)):
        box = a.space.box_around(centre, 4)
        node = (roundness(a.space, box, centre, rng.uniform(2, 4, 3)) < 1) & a.regions["mediastinum"][box]
        a.image[box][node & (a.labels[box] == 0) & (a.image[box] < 0)] = 42
    for side in (-1, 1):
        lobe = ellipsoid(a.space, (side * 17, 4, 142), (8, 10, 20))
        a.image[lobe] = rng.uniform(85, 120) + 0.4 * body.contrast.arteries


def heart_axis(body: Body) -> tuple[float, float, float]:
    """Body mm of the heart's centre: it rests on the diaphragm."""
    floor = -92 + body.breath_mm
    return -15.0 - 12 * (body.heart - 1), 20.0, floor + 37 * body.heart


def _heart(a: Anatomy, body: Body, texture: Field, rng: np.random.Generator) -> None:
    size = body.heart
    centre = heart_axis(body)
    lean = -0.38 + rng.normal(0, 0.06)
    box = a.space.box_around(centre, 78 * size + 10)
    image, tex, labels, lobes = a.image[box], texture[box], a.labels[box], a.lobes[box]
    above, depth = a.above[box], a.depth[box]

    x, y, z = (v[box] - np.float32(c) for v, c in zip((a.space.x, a.space.y, a.space.z), centre, strict=True))
    along, height = x * np.cos(lean) - z * np.sin(lean), x * np.sin(lean) + z * np.cos(lean)
    # Below its middle the heart reaches down to the diaphragm it rests on.
    height *= np.where(height < 0, np.float32(0.62), np.float32(1))

    def shell(mm: float) -> Mask:
        radii = (65 * size + mm, 47 * size + mm, 49 * size + mm)
        squared: Field = (along / radii[0]) ** 2 + (y / radii[1]) ** 2 + (height / radii[2]) ** 2
        return squared < 1

    heart = shell(0) & (above > 1) & (depth > 4)
    sac = shell(4.5) & (above > 0) & (labels != 8) & (depth > 2)
    a.name("pericardium", box, shell(9) & (depth > 2))
    labels[sac], labels[heart] = 0, 4
    lobes[sac | heart] = 0
    blood = {"arteries": body.contrast.arteries, "veins": body.contrast.veins}
    muscle = 46 + 0.35 * blood["arteries"]
    np.copyto(image, -84 + 10 * tex, where=sac)
    np.copyto(image, muscle + 6 * tex, where=heart & shell(-7))
    image[sac & ~shell(2.6)] = 20
    for name, offset, radii, carries in _CHAMBERS:
        middle = np.array(centre) + np.array(offset) * size
        wall = 10.0 if name == "left ventricle" else 2.5
        tilt = -0.45 if "ventricle" in name else 0.0
        around = heart & (roundness(a.space, box, middle, np.array(radii) * size + wall, lean=tilt) < 1)
        np.copyto(image, muscle + 6 * tex, where=around)
        inner = heart & (roundness(a.space, box, middle, np.array(radii) * size, lean=tilt) < 1)
        np.copyto(image, 41 + blood[carries] + 5 * tex, where=inner)


def _vessels(a: Anatomy, body: Body, rng: np.random.Generator) -> None:
    """Aorta with its branches, pulmonary arteries and veins, caval veins, oesophagus."""
    old = (body.age - 20) / 70
    wide = float(rng.uniform(12, 14) + 3.2 * old)
    arch = float(rng.uniform(60, 74))
    hx, hy, hz = heart_axis(body)
    root = [hx + 15, hy - 2, hz + 30]
    up: list[list[float]] = [root, [14, 18, 22], [15, 16, arch - 16], [3, 4, arch], [-13, -18, arch]]
    up.append([-21, -36, arch - 18])
    down: list[list[float]] = [[-22, -41, arch - 45], [-23, -42, 0], [-20, -42, -60], [-12, -42, -120], [-4, -40, -230]]
    aorta = polyline(up + down, [wide * 1.15] * 4 + [wide * 0.95] * 4 + [wide * 0.75] * 3)
    trunk = polyline([[-16, 36, 4], [-24, 22, 26], [-30, -4, 32], [-54, -18, 24]], [13.5, 13.5, 11.5, 8])
    trunk += polyline([[-24, 18, 28], [4, -6, 27], [34, -14, 18], [50, -18, 6]], [12, 10.5, 9.5, 7])
    backwards = [[[side * 12, -24, hz + 22], [side * 48, -22, z]] for side in (-1, 1) for z in (4.0, -14.0)]
    inflow = [t for line in backwards for t in polyline(line, [7.0, 5.5])]
    caval = polyline([[28, 4, hz + 30], [28, 8, 50], [26, 12, 84]], 9.5) + polyline(
        [[24, -8, -50], [28, -14, -112], [14, -26, -220]], [11, 11, 10]
    )
    arms = polyline([[26, 14, 84], [-10, 28, 90], [-40, 26, 106]], 6.2)
    arms += polyline([[26, 14, 84], [45, 22, 110], [100, 10, 122]], 6.2)
    branches = polyline([[8, 8, arch + 8], [17, 4, 100], [24, 0, 160]], [6.2, 5.5, 3.8])
    branches += polyline([[-4, 0, arch + 8], [-12, 0, 100], [-22, -2, 160]], [4.2, 4, 3.6])
    branches += polyline([[-12, -12, arch + 8], [-21, -12, 100], [-60, -6, 124], [-130, -6, 122]], [5, 4.8, 4.4, 4])
    gullet = polyline([[-2, -24, 160], [-4, -29, 70], [-6, -32, 20], [-9, -33, -50], [-24, -22, -100]], 6.6)
    c = body.contrast
    groups = (
        (gullet, 38.0), (trunk, 41 + c.veins), (inflow, 41 + c.arteries), (caval[:10], 41 + c.veins),
        (caval[10:], 41 + 0.5 * c.arteries), (arms, 41 + c.veins * rng.uniform(0.6, 1.3)),
        (branches, 41 + c.arteries), (aorta, 41 + c.arteries),
    )  # fmt: skip
    for group, hu in groups:
        tubes.paint(a.image, a.space, group, hu)
    gas = [t for i, t in enumerate(gullet) if np.sin(i * rng.uniform(0.7, 1.1) + rng.uniform(0, 6)) > 0.4]
    tubes.paint(a.image, a.space, [Tube(t.start, t.end, 2.2, 2.2) for t in gas], -850)
    for name, group in (("aorta", aorta), ("pulmonary artery", trunk), ("superior vena cava", caval[:10])):
        _name(a, name, group)
    _name(a, "oesophagus", gullet)
    s = a.space
    a.regions["aortic arch"] = a.regions["aorta"] & (s.z > arch - 22)
    a.regions["descending aorta"] = a.regions["aorta"] & (s.y < -26) & (a.above > -20)
    a.regions["ascending aorta"] = a.regions["aorta"] & (s.y > 2) & (s.z > -4)


def _name(a: Anatomy, name: str, group: list[Tube]) -> None:
    mask = tubes.inside(a.space, group) & (a.labels != 8)
    a.take(mask, 5 if name == "aorta" else 0)
    a.regions[name] = mask
