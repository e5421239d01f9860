"""Diaphragm, liver, spleen, stomach, kidneys and bowel, as far up as a chest scan shows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simcrop_core.phantom.style_b.contours import Region, fill, grown, ovals, wobbled
from simcrop_core.phantom.style_b.fields import noise
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Mask, around_mask, stream
from simcrop_core.phantom.truth import LABELS

_LIVER = [
    (-40, 62, 6, 60, 66, 74, 78, 0.85),
    (-80, 56, 8, 82, 76, 82, 82, 0.8),
    (-112, 58, 4, 92, 74, 82, 76, 0.8),
    (-140, 66, 0, 74, 66, 80, 70, 0.85),
    (-175, 80, -4, 46, 50, 66, 58, 0.9),
    (-230, 92, -8, 22, 28, 40, 40, 1.0),
]
_SPLEEN = [
    (-72, -92, -52, 12, 12, 14, 14, 1.0),
    (-96, -98, -52, 32, 26, 34, 30, 0.95),
    (-125, -98, -50, 30, 24, 36, 32, 0.95),
    (-156, -100, -44, 20, 16, 24, 22, 1.0),
    (-172, -102, -40, 5, 5, 6, 6, 1.0),
]
_STOMACH = [
    (-70, -64, 4, 20, 20, 22, 22, 1.0),
    (-92, -62, 16, 40, 36, 40, 40, 0.95),
    (-125, -56, 28, 42, 40, 42, 36, 0.95),
    (-160, -36, 42, 44, 44, 32, 26, 1.0),
    (-200, -4, 52, 40, 40, 20, 18, 1.0),
]
_RETROPERITONEUM = [
    (-30, 0, -40, 34, 32, 40, 70, 1.0),
    (-90, 2, -40, 36, 34, 38, 70, 1.0),
    (-140, 2, -45, 50, 50, 36, 60, 0.9),
    (-230, 2, -45, 60, 60, 40, 60, 0.9),
]
_KIDNEY = [
    (-134, 56, -58, 10, 10, 10, 10, 1.0),
    (-152, 56, -56, 26, 24, 22, 22, 1.0),
    (-190, 60, -52, 27, 26, 24, 24, 1.0),
    (-235, 62, -48, 20, 20, 18, 18, 1.0),
]


def draw_abdomen(scene: Scene) -> None:
    """Draw what lies below the diaphragm, and label liver and spleen."""
    rng = stream(scene.seed, "abdomen")
    cavity = fill(scene.grid, grown(scene.cage, -1.5)).flat_within(scene.grid)
    z = scene.grid.axis(2).astype(np.float32)[None, None, :]
    depth = scene.dome[:, :, None] - z
    cavity &= depth > 0
    np.copyto(scene.image, np.float32(-100), where=cavity)
    np.copyto(scene.image, np.float32(48), where=cavity & (depth < 3.5))
    cavity &= depth > 3.0
    behind = scene.region(ovals(_RETROPERITONEUM))
    room = cavity.copy()
    room[behind.box] &= ~behind.mask
    _stomach(scene, rng, room)
    blood = scene.subject.blood
    _organ(scene, rng, room, _SPLEEN, blood.spleen, "spleen")
    _organ(scene, rng, room, _LIVER, blood.liver, "liver")
    _hepatic_vessels(scene, rng)
    _kidneys(scene, cavity)
    _bowel(scene, rng, cavity)


def _organ(
    scene: Scene, rng: np.random.Generator, room: Mask, rows: Sequence[Sequence[float]], hu: float, name: str
) -> None:
    levels, controls = ovals([(z - scene.subject.breath_mm * 0.5, *rest) for z, *rest in rows])
    region = scene.region((levels, wobbled(rng, controls, 0.035)))
    inside = Region(region.box, region.mask & room[region.box])
    texture = np.float32(hu) + noise(scene.grid, region.box, 6.0, rng) * np.float32(3.0)
    scene.paint(inside, texture, LABELS.index(name))


def _hepatic_vessels(scene: Scene, rng: np.random.Generator) -> None:
    hu = scene.subject.blood.liver + (25 if scene.subject.contrast == "venous" else -14)
    tubes = []
    for _ in range(5):
        end = np.array([rng.uniform(40, 105), rng.uniform(-45, 60), rng.uniform(-120, -75)])
        start = np.array([24.0, 0.0, -84.0])
        middle = (start + end) / 2 + rng.normal(0, 8, 3)
        points = [(*p, r) for p, r in zip((start, middle, end), (5.5, 4.0, 2.0), strict=True)]
        tubes.append(scene.path("hepatic vein", points))
    share = scene.cover(*tubes)
    share[scene.labels != LABELS.index("liver")] = 0
    scene.blend(share, hu)


def _stomach(scene: Scene, rng: np.random.Generator, room: Mask) -> None:
    shift = scene.subject.breath_mm * 0.5
    rows = [(z - shift, *rest) for z, *rest in _STOMACH]
    levels, controls = ovals(rows)
    outline = scene.outline((levels, wobbled(rng, controls, 0.05)))
    wall, inner = fill(scene.grid, outline), fill(scene.grid, grown(outline, -4.0))
    scene.paint(Region(wall.box, wall.mask & room[wall.box]), 42.0)
    level = float(scene.subject.place(np.array([-56.0, rng.uniform(18, 40), -110.0]))[1])
    gas = scene.grid.axis(1)[None, inner.box[1], None] > level
    content = np.broadcast_to(np.where(gas, -960.0, rng.uniform(5, 45)), inner.mask.shape)
    scene.paint(Region(inner.box, inner.mask & room[inner.box]), content.astype(np.float32))


def _kidneys(scene: Scene, cavity: Mask) -> None:
    for side in (-1, 1):
        rows = [(z - (8 if side > 0 else 0), side * x, *rest) for z, x, *rest in _KIDNEY]
        for share, hu in ((1.0, scene.subject.blood.kidney), (0.4, -60.0)):
            shrunk = [(z, x, y, *(v * share for v in reach), s) for z, x, y, *reach, s in rows]
            region = scene.region(ovals(shrunk))
            scene.paint(Region(region.box, region.mask & cavity[region.box]), hu, 0)


def _bowel(scene: Scene, rng: np.random.Generator, cavity: Mask) -> None:
    loops = [
        [(-108, 20, -108, 15.0), (-112, 10, -140, 17), (-110, 0, -230, 16)],
        [(-104, 26, -116, 14.0), (-60, 74, -152, 16), (0, 78, -164, 16), (70, 70, -158, 17)],
    ]
    for number, loop in enumerate(loops):
        path = scene.path(f"colon {number}", loop)
        share = scene.cover(path)
        share[~cavity | (scene.labels > 0)] = 0
        scene.blend(share, 40)
        lumen = scene.cover(path - np.array([0, 0, 0, 3.0]))
        lumen[~cavity | (scene.labels > 0)] = 0
        filled = lumen > 0.5
        box = around_mask(filled)
        if filled.any():
            gas = noise(scene.grid, box, 14.0, rng) > 0.1
            scene.image[box][filled[box]] = np.where(gas, np.float32(-920), np.float32(-30))[filled[box]]
