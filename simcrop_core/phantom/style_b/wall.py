"""Body wall: skin, fat, muscle, breasts, shoulders, and the table below."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.contours import fill, grown, ovals, wobbled
from simcrop_core.phantom.style_b.fields import noise
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import around_mask, stream

# z, centre x, centre y, left, right, front, back, squareness: the inner chest wall of the reference body, mm.
CAGE: list[tuple[float, ...]] = [
    (138, 0, -22, 44, 44, 14, 42, 1.0),
    (125, 0, -18, 70, 70, 24, 66, 0.95),
    (105, 0, -14, 92, 92, 44, 80, 0.9),
    (70, 0, -10, 113, 113, 68, 90, 0.86),
    (35, 0, -10, 124, 124, 84, 94, 0.82),
    (0, 0, -10, 131, 131, 92, 96, 0.8),
    (-40, 0, -10, 136, 136, 96, 98, 0.8),
    (-80, 0, -10, 137, 137, 96, 98, 0.8),
    (-125, 0, -10, 135, 135, 94, 94, 0.82),
    (-230, 0, -10, 128, 128, 90, 86, 0.85),
]
FAT, SKIN = -104.0, 12.0


def cage_outline(scene: Scene) -> None:
    """Fix the inner chest wall."""
    levels, controls = ovals(CAGE)
    scene.cage = scene.outline((levels, wobbled(stream(scene.seed, "cage"), controls, 0.022)))


def draw_wall(scene: Scene) -> None:
    """Draw the table and all of the body but what lies inside the chest wall; the inside is left as fat."""
    rng = stream(scene.seed, "wall")
    subject = scene.subject
    fat = subject.fat_mm
    if subject.table:
        _table(scene, rng)
    wide = 12.0 if subject.arms_up else 34.0
    rows = []
    for z, cx, cy, left, right, front, back, square in CAGE:
        collar = 18.0 if z > 95 else 0.0
        side = 24 + fat * 0.9 + (wide if 70 <= z <= 126 else 0)
        rows.append(
            (
                z,
                cx,
                cy,
                left + side,
                right + side,
                front + 20 + fat * 0.7 + collar,
                back + 30 + fat * 0.6 + collar * 0.5,
                square,
            )
        )
    rows[0] = (138, 0, -22, *((168, 168) if subject.arms_up else (185, 185)), 62 + fat / 2, 92 + fat / 2, 0.75)
    rows.insert(0, (158, 0, -20, *((140, 140) if subject.arms_up else (90, 90)), 52, 80, 0.85))
    rows.insert(0, (230, 0, -12, 62, 62, 52, 66, 0.9))
    levels, controls = ovals(rows)
    skin = scene.outline((levels, wobbled(rng, controls, 0.02)))
    body = fill(scene.grid, skin)
    scene.paint(body, SKIN)
    scene.body[body.box] |= body.mask
    under = fill(scene.grid, grown(skin, -2.2))
    scene.paint(under, FAT)
    if subject.person.sex == "F":
        _breasts(scene, rng)
    _muscles(scene, rng)
    _fat_strands(scene, rng)


def _muscles(scene: Scene, rng: np.random.Generator) -> None:
    hu = scene.subject.blood.muscle
    bulk = rng.uniform(0.75, 1.2) * (1.0 if scene.subject.person.sex == "M" else 0.8)
    for side in (-1, 1):
        pectoral = [
            (112, side * 82, 40, 30, 30, 9, 9, 1.0),
            (85, side * 75, 66, 46, 46, 10 * bulk, 10 * bulk, 0.9),
            (45, side * 66, 90, 48, 48, 9 * bulk, 9 * bulk, 0.9),
            (8, side * 68, 94, 34, 34, 4 * bulk, 4 * bulk, 1.0),
        ]
        scene.paint(scene.region(ovals(pectoral, turn_degrees=-14.0 * side)), hu)
        back = [
            (160, side * 34, -75, 26, 26, 18, 18, 1.0),
            (110, side * 36, -106, 34, 34, 15, 17, 0.9),
            (40, side * 34, -116, 30, 30, 15, 17, 0.9),
            (-60, side * 33, -118, 30, 30, 16, 19, 0.9),
            (-230, side * 36, -108, 36, 36, 22, 24, 0.9),
        ]
        scene.paint(scene.region(ovals(back)), hu - 8)
        dorsal = [
            (134, side * 122, -40, 6, 6, 8, 8, 1.0),
            (118, side * 128, -42, 26, 26, 34, 34, 1.0),
            (80, side * 132, -52, 16 * bulk, 16 * bulk, 38, 38, 1.0),
            (20, side * 140, -50, 10 * bulk, 10 * bulk, 36, 36, 1.0),
            (-80, side * 150, -40, 6, 6, 34, 34, 1.0),
            (-115, side * 150, -38, 2, 2, 12, 12, 1.0),
        ]
        scene.paint(scene.region(ovals(dorsal, turn_degrees=18.0 * side)), hu)
    for side in (-1, 1):
        strap = [
            (122, side * 30, 12, 5, 5, 6, 5, 1.0),
            (150, side * 44, -8, 12, 12, 13, 12, 1.0),
            (230, side * 42, -18, 12, 12, 14, 12, 1.0),
        ]
        scene.paint(scene.region(ovals(strap)), hu)
        thyroid = [
            (126, side * 14, 2, 5, 5, 5, 5, 1.0),
            (146, side * 15, 4, 9, 9, 10, 11, 1.0),
            (178, side * 17, 2, 5, 5, 6, 6, 1.0),
        ]
        scene.paint(scene.region(ovals(thyroid)), hu + 55)
    column = [
        (132, 0, -60, 24, 24, 26, 22, 1.0),
        (150, 0, -62, 40, 40, 34, 28, 0.95),
        (230, 0, -54, 46, 46, 34, 34, 0.9),
    ]
    scene.paint(scene.region(ovals(column)), hu - 5)
    around = np.sin(np.arange(scene.cage.shape[1]) / scene.cage.shape[1] * 2 * np.pi)
    scene.paint(fill(scene.grid, grown(scene.cage, 9.0 - 4.0 * np.maximum(around, 0) ** 2)), hu - 4)
    scene.paint(fill(scene.grid, grown(scene.cage, 1.0)), FAT + 4)


def _breasts(scene: Scene, rng: np.random.Generator) -> None:
    reach = rng.uniform(20, 42)
    gland = rng.uniform(-60, 25)
    for side in (-1, 1):
        front = 82 + scene.subject.fat_mm * 0.5
        low, mid = (-62, side * 74, front, 20, 20, 4, 12, 1.0), (-20, side * 76, front, 56, 56, reach, 26, 1.0)
        shape = [
            low,
            (-45, side * 78, front, 48, 48, reach * 0.8, 24, 1.0),
            mid,
            (40, side * 66, front, 24, 24, 6, 14, 1.0),
        ]
        outline = scene.outline(ovals(shape))
        region = fill(scene.grid, outline)
        scene.paint(region, SKIN)
        scene.body[region.box] |= region.mask
        inner = fill(scene.grid, grown(outline, -2.2))
        scene.paint(inner, FAT)
        core = [(z, x, y + 8, a * 0.5, b * 0.5, f * 0.6, 6, 1.0) for z, x, y, a, b, f, _, _ in shape]
        scene.paint(scene.region(ovals(core)), gland)


def _fat_strands(scene: Scene, rng: np.random.Generator) -> None:
    """Muscle and fat are marbled."""
    box = around_mask(scene.image > -900)
    texture = noise(scene.grid, box, 9.0, rng)
    texture *= np.float32(7.0)
    body = scene.image[box]
    texture[(body < -140) | (body > 120)] = 0
    body += texture


def _table(scene: Scene, rng: np.random.Generator) -> None:
    back = float(scene.subject.place(np.array([0.0, -10 - 98 - 32 - scene.subject.fat_mm * 0.6, 0.0]))[1]) - 3
    x, y = scene.grid.axis(0)[:, None], scene.grid.axis(1)[None, :]
    depth = (back + x**2 / rng.uniform(700, 1600)) - y
    sheet = np.where(
        (np.abs(depth) < 1.6) | (np.abs(depth - 24) < 1.6), -420.0, np.where((depth > 0) & (depth < 24), -935, -1000)
    )
    scene.image[:] = np.maximum(scene.image, sheet[:, :, None].astype(np.float32))
