"""Heart with its chambers, great vessels, oesophagus and central airways."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.contours import Region, fill, grown, ovals
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Float, stream
from simcrop_core.phantom.truth import LABELS

Tube = list[tuple[float, float, float, float]]

AORTA: Tube = [
    (-6, 16, -8, 14.5),
    (8, 24, 14, 15.5),
    (13, 23, 38, 15),
    (8, 12, 58, 14),
    (-6, -6, 64, 13),
    (-20, -24, 56, 12.5),
    (-27, -36, 36, 12),
    (-28, -38, 0, 11.5),
    (-26, -38, -50, 11),
    (-19, -34, -100, 10.5),
    (-8, -30, -140, 10),
    (-5, -30, -230, 9.5),
]
TRACHEA: Tube = [(2, -4, 230, 8.5), (2, -6, 150, 8.5), (3, -12, 95, 8.8), (4, -18, 55, 8.8), (4, -20, 38, 8.8)]
_MAIN_BRONCHI: dict[str, Tube] = {
    "right main bronchus": [(4, -20, 38, 7.5), (20, -21, 24, 7), (33, -20, 14, 6)],
    "right upper bronchus": [(27, -21, 20, 5), (38, -20, 24, 4.5), (46, -18, 28, 4)],
    "intermediate bronchus": [(33, -20, 14, 5.5), (38, -22, -2, 5.2), (42, -22, -14, 4.6)],
    "left main bronchus": [(4, -20, 38, 7), (-16, -22, 22, 6.3), (-36, -24, 10, 5.8)],
    "left upper bronchus": [(-36, -24, 10, 5), (-44, -16, 12, 4.6), (-50, -8, 16, 4)],
    "left lower bronchus": [(-36, -24, 10, 5), (-42, -30, -4, 4.8), (-48, -32, -14, 4.4)],
}
# Where bronchi, arteries and veins of each lobe enter it: left upper, left lower, right upper, middle, right lower.
HILA = np.array([(-50, -8, 16), (-48, -32, -14), (46, -18, 28), (46, 4, -14), (46, -26, -18)], dtype=float)
_PULMONARY: dict[str, Tube] = {
    "pulmonary trunk": [(-18, 44, -10, 13), (-22, 36, 10, 14), (-20, 16, 26, 13)],
    "right pulmonary artery": [
        (-20, 14, 26, 12),
        (0, 4, 24, 11.5),
        (24, -4, 20, 10.5),
        (42, -12, 10, 9),
        (45, -22, -8, 7),
    ],
    "left pulmonary artery": [(-20, 14, 26, 12), (-34, -4, 30, 11), (-46, -20, 24, 9.5), (-50, -32, 4, 7.5)],
}
_VEINS: dict[str, Tube] = {
    "superior vena cava": [(22, 16, -12, 10), (26, 18, 20, 9.5), (26, 20, 56, 9), (24, 22, 74, 8.5)],
    "left brachiocephalic vein": [(24, 22, 72, 7.5), (4, 32, 76, 7.5), (-18, 30, 84, 7), (-42, 18, 104, 6.5)],
    "right brachiocephalic vein": [(24, 22, 74, 7.5), (30, 20, 94, 7), (48, 14, 112, 6.5)],
    "inferior vena cava": [(22, 8, -58, 10.5), (24, 0, -88, 11), (22, -14, -140, 10.5), (20, -18, -230, 10)],
}
_BRANCHES: dict[str, Tube] = {
    "brachiocephalic artery": [(10, 14, 60, 6.5), (13, 10, 84, 6.2), (22, 2, 112, 5.5), (26, -4, 160, 4)],
    "left carotid artery": [(-2, 2, 64, 4.4), (-12, 0, 90, 4), (-22, -4, 128, 3.8), (-26, -6, 230, 3.6)],
    "left subclavian artery": [(-12, -14, 62, 5.4), (-24, -18, 92, 5), (-40, -14, 116, 4.6), (-80, 0, 124, 4.2)],
}
_PULMONARY_VEINS: dict[str, Tube] = {
    "right upper vein": [(6, -2, -12, 7), (28, 2, -6, 6.5), (46, 6, 4, 5)],
    "right lower vein": [(6, -12, -24, 7), (26, -20, -24, 6.5), (46, -26, -24, 5)],
    "left upper vein": [(-22, -6, -8, 7), (-38, 0, 0, 6), (-52, 6, 8, 5)],
    "left lower vein": [(-22, -14, -20, 7), (-36, -22, -22, 6), (-50, -30, -22, 5)],
}
_OESOPHAGUS: Tube = [
    (-2, -22, 230, 7),
    (-5, -26, 110, 7.5),
    (-8, -32, 60, 7.5),
    (-6, -34, 30, 7.5),
    (-8, -30, -20, 8),
    (-12, -24, -60, 8),
    (-22, -14, -84, 8.5),
    (-34, -6, -100, 9),
]
# Cavities of the reference heart: level, centre, reaches; drawn with the heart's own scale.
_CHAMBERS: dict[str, tuple[float, list[tuple[float, ...]]]] = {
    "right atrium": (
        -28,
        [(8, 26, 14, 14, 12, 14, 14, 1), (-22, 30, 10, 20, 17, 22, 24, 1), (-62, 20, 8, 12, 12, 12, 14, 1)],
    ),
    "right ventricle": (
        -28,
        [(-2, -14, 42, 18, 20, 12, 14, 1), (-36, -12, 42, 34, 26, 14, 18, 0.9), (-76, -20, 38, 20, 24, 8, 10, 1)],
    ),
    "left atrium": (
        -8,
        [(8, -8, -8, 20, 18, 10, 8, 1), (-14, -8, -8, 26, 24, 16, 14, 0.9), (-38, -10, -6, 18, 16, 12, 10, 1)],
    ),
    "left ventricle": (
        -28,
        [(-14, -40, 22, 16, 14, 12, 14, 1), (-42, -50, 24, 26, 18, 18, 17, 0.9), (-74, -46, 32, 12, 10, 8, 8, 1)],
    ),
}


def draw_mediastinum(scene: Scene) -> None:
    """Draw everything between the lungs, and label trachea, heart and aorta."""
    _tissue(scene)
    _heart(scene)
    _great_vessels(scene)
    _oesophagus(scene)
    _airways(scene)


def _tissue(scene: Scene) -> None:
    """Loose fat of the mediastinum with strands, a little denser than fat under the skin; small nodes."""
    rng = stream(scene.seed, "nodes")
    sites = np.array(
        [(14, -4, 55), (-14, 6, 36), (4, -24, 22), (10, 34, 70), (-26, 10, 44), (34, -10, 4), (0, -16, 84)]
    )
    nodes = scene.subject.place(sites + rng.normal(0, 3, sites.shape))
    share = scene.cover(np.concatenate([nodes, rng.uniform(1.5, 3.6, (len(nodes), 1))], axis=1))
    scene.blend(share, 35)
    if scene.subject.person.age < 35:
        thymus = [(75, 0, 46, 12, 12, 5, 5, 1.0), (45, -3, 54, 14, 12, 5, 6, 1.0), (15, -4, 62, 6, 6, 3, 3, 1.0)]
        scene.paint(scene.region(ovals(thymus)), 20.0)


def _heart(scene: Scene) -> None:
    blood, k = scene.subject.blood, scene.subject.heart
    muscle = fill(scene.grid, scene.heart)
    below = scene.grid.axis(2)[muscle.box[2]] < scene.dome[muscle.box[0], muscle.box[1], None] - 6
    muscle = Region(muscle.box, muscle.mask & ~below)
    if scene.fluid is not None:
        scene.paint(scene.fluid, 9.0, 0)
        scene.lobes[scene.fluid.box][scene.fluid.mask] = 0
    scene.paint(muscle, -85.0, LABELS.index("heart"))
    lean = fill(scene.grid, grown(scene.heart, -3.5))
    scene.paint(Region(lean.box, lean.mask & muscle.flat_within(scene.grid)[lean.box]), blood.myocardium)
    for name, (turn, rows) in _CHAMBERS.items():
        hu = blood.right_heart if name.startswith("right") else blood.left_heart
        scaled = [
            (z if z > 0 else max(z * (1 + (k - 1) * 0.3), -96), x * k, y, a * k, b * k, f * k, c * k, s)
            for z, x, y, a, b, f, c, s in rows
        ]
        chamber = scene.region(ovals(scaled, turn_degrees=turn))
        inside = chamber.mask & (scene.labels[chamber.box] == LABELS.index("heart"))
        scene.paint(Region(chamber.box, inside), hu)


def _great_vessels(scene: Scene) -> None:
    blood = scene.subject.blood
    rng = stream(scene.seed, "vessels")
    for tubes, hu in ((_PULMONARY, blood.pulmonary), (_VEINS, blood.right_heart), (_PULMONARY_VEINS, blood.left_heart)):
        for name, points in tubes.items():
            filled = scene.tube(name, points, hu if "inferior" not in name else min(hu, 130.0))
            scene.labels.reshape(-1)[filled] *= scene.labels.reshape(-1)[filled] == LABELS.index("heart")
            scene.lobes.reshape(-1)[filled] = 0
            if tubes is _PULMONARY:
                scene.parts.setdefault("pulmonary artery", []).append(filled)
    for name, points in _BRANCHES.items():
        scene.tube(name, points, blood.aorta)
    age = scene.subject.person.age
    wide = min(1 + (age - 50) * 0.003 + rng.normal(0, 0.05), 1.1)
    aorta = scene.path("aorta", [(x, y, z, r * wide) for x, y, z, r in AORTA])
    wall = aorta + np.array([0, 0, 0, 1.2])
    scene.blend(scene.cover(wall), 48)
    filled = scene.blend(scene.cover(aorta), blood.aorta)
    scene.labels.reshape(-1)[filled] = LABELS.index("aorta")
    scene.lobes.reshape(-1)[filled] = 0


def _oesophagus(scene: Scene) -> None:
    rng = stream(scene.seed, "oesophagus")
    centre = scene.path("oesophagus", _OESOPHAGUS)
    scene.parts["oesophagus"] = [scene.blend(scene.cover(centre), 42)]
    if rng.random() < 0.6:
        at = rng.integers(len(centre) // 4, len(centre) * 3 // 4)
        air = centre[at : at + int(rng.integers(8, 40))] * np.array([1, 1, 1, 0.35])
        scene.blend(scene.cover(air), -800)


def _airways(scene: Scene) -> None:
    scale = 1.0 if scene.subject.person.sex == "M" else 0.9
    tubes: list[Float] = []
    for name, points in {"trachea": TRACHEA, **_MAIN_BRONCHI}.items():
        tubes.append(scene.path(name, [(x, y, z, r * scale) for x, y, z, r in points]))
    scene.blend(scene.cover(*(t + np.array([0, 0, 0, 1.6]) for t in tubes)), 40)
    lumen = scene.cover(*tubes)
    filled = scene.blend(lumen, -990)
    scene.lobes.reshape(-1)[filled] = 0
    scene.labels.reshape(-1)[filled] = LABELS.index("trachea")
