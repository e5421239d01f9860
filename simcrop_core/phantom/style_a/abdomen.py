"""The upper abdomen: diaphragm, liver, spleen, stomach with its gas, kidneys, bowel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.space import Box, Field, Mask, roundness, smooth_noise
from simcrop_core.phantom.style_a.tubes import polyline


def draw_abdomen(a: Anatomy, body: Body, texture: Field) -> None:
    """Organs below the diaphragm, in the fat that is left between them."""
    rng = body.stream("abdomen")
    low = a.space.box([-150, -130, -300], [150, 130, -40])
    image, above, labels = a.image[low], a.above[low], a.labels[low]
    inside = (a.depth[low] > 0) & (labels == 0)
    free = np.zeros(a.grid.shape, dtype=bool)
    free[low] = inside & (above < -2)
    np.copyto(image, -104 + 12 * texture[low], where=free[low])
    image[inside & (np.abs(above) <= 2.2)] = 45
    _liver(a, body, texture, free, rng)
    _spleen(a, body, texture, free, rng)
    _stomach(a, body, texture, free, rng)
    for side in (-1, 1):
        _kidney(a, body, texture, free, side)
    if not a.sketch:
        _bowel(a, free, rng)


def _liver(a: Anatomy, body: Body, texture: Field, free: Mask, rng: np.random.Generator) -> None:
    """Right lobe under the right dome, left lobe tapering across the midline; veins, gallbladder."""
    slant = np.float32(rng.uniform(0.75, 1.1))
    box = a.space.box([-90, -85, -290], [140, 105, -35])
    x, y, z = a.space.x[box], a.space.y[box], a.space.z[box]
    edge = 6 * smooth_noise(rng, 14, a.grid, box)
    lower = z + np.float32(116 - body.breath_mm) + (x + 44 + 0.45 * np.clip(y, -40, 70)) * slant + edge
    liver = free[box] & (a.above[box] < -3) & (lower > 0) & (x > -84) & (a.depth[box] > 3.2)
    liver &= (y > -0.75 * x - 30) & (y > -74) & ((x / 23) ** 2 + ((y + 62) / 25) ** 2 > 1)
    fatty = rng.uniform(25, 62) if rng.random() < 0.3 else rng.uniform(50, 66)
    np.copyto(a.image[box], fatty + body.contrast.organs + 6 * texture[box], where=liver)
    whole = np.zeros(a.grid.shape, dtype=bool)
    whole[box] = liver
    if not a.sketch:
        stem = np.array([24.0, -18.0, -98 + body.breath_mm])
        ends = np.array([[88, -30, -112], [72, 28, -112], [8, 34, -112]], dtype=np.float64)
        veins = [
            t
            for end in ends
            for t in polyline(np.stack([stem, (stem + end) / 2 + [0, 4, 2], end]).tolist(), [5, 3.6, 2])
        ]
        blood = 38 + (0.9 * body.contrast.arteries if body.contrast.phase == "venous" else 10)
        tubes.paint(a.image, a.space, veins, blood, within=whole)
    centre, radii = (52, 34, -186 + body.breath_mm), (14, 18, 24)
    around = a.space.box_around(centre, 24)
    gallbladder = (roundness(a.space, around, centre, radii) < 1) & (a.above[around] < -20)
    a.image[around][gallbladder] = 10
    whole[around] &= ~gallbladder
    a.labels[whole] = 6
    free[box] &= ~liver
    free[around] &= ~gallbladder


def _spleen(a: Anatomy, body: Body, texture: Field, free: Mask, rng: np.random.Generator) -> None:
    centre, long = (-92, -36, -138 + body.breath_mm), rng.uniform(40, 58)
    box, spleen = _blob(a, free, centre, (28, 44, long))
    spleen &= a.depth[box] > 3
    a.labels[box][spleen] = 7
    np.copyto(a.image[box], rng.uniform(42, 56) + 1.1 * body.contrast.organs + 5 * texture[box], where=spleen)
    free[box] &= ~spleen


def _stomach(a: Anatomy, body: Body, texture: Field, free: Mask, rng: np.random.Generator) -> None:
    """A bag behind the left dome: wall, content, and gas in front of a level."""
    centre = np.array([-54 + rng.normal(0, 6), 14, -122 + body.breath_mm + rng.normal(0, 6)])
    radii = np.array([36, 46, 38]) * rng.uniform(0.8, 1.15)
    box, outer = _blob(a, free, centre, radii)
    outer &= a.depth[box] > 2
    inner = outer & (roundness(a.space, box, centre, radii - 4) < 1) & (a.above[box] < -5)
    image = a.image[box]
    np.copyto(image, 45 + 0.6 * body.contrast.organs + 4 * texture[box], where=outer)
    np.copyto(image, rng.uniform(5, 55) + 14 * texture[box], where=inner)
    image[inner & (a.space.y[box] > centre[1] + radii[1] * rng.uniform(-0.3, 0.8))] = -965
    a.name("stomach", box, outer)
    free[box] &= ~outer


def _kidney(a: Anatomy, body: Body, texture: Field, free: Mask, side: int) -> None:
    """Cortex, medulla, and the fat of the sinus."""
    centre = np.array([side * 60.0, -50.0, -186.0 - side * 8 + body.breath_mm])
    box, kidney = _blob(a, free, centre, (26, 26, 54))
    image = a.image[box]
    medulla = kidney & (roundness(a.space, box, centre, (17, 17, 44)) < 1)
    even = 0.85 if body.contrast.phase == "venous" else 0.35
    np.copyto(image, 32 + body.contrast.cortex + 4 * texture[box], where=kidney)
    np.copyto(image, 30 + even * body.contrast.cortex + 6 * texture[box], where=medulla)
    sinus = roundness(a.space, box, centre - np.array([side * 9.0, -4, 0]), (9, 9, 24)) < 1
    image[kidney & sinus] = -70
    a.name("left kidney" if side < 0 else "right kidney", box, kidney)
    free[box] &= ~kidney


def _bowel(a: Anatomy, free: Mask, rng: np.random.Generator) -> None:
    """Colon and small bowel: walls around gas, fluid or stool."""
    colon = polyline(
        [[-104, -4, -210], [-100, 8, -160], [-84, 40, -136], [-50, 66, -165], [10, 74, -178], [70, 66, -190],
         [96, 20, -225]], [15, 17, 18, 15, 17, 17, 20],
    )  # fmt: skip
    tubes.paint(a.image, a.space, colon, 40, within=free)
    lumen = [tubes.Tube(t.start, t.end, t.radius - 3, t.end_radius - 3) for t in colon]
    for first in range(0, len(lumen), 4):
        content = float(rng.choice([-880.0, -880.0, -150.0, 25.0]))
        tubes.paint(a.image, a.space, lumen[first : first + 4], content, within=free)
    for _ in range(16):
        centre, radii = rng.uniform([-80, -10, -225], [90, 66, -150], 3), rng.uniform(9, 17, 3)
        content = float(rng.choice([-800.0, 15.0, 35.0, 35.0]))
        box, loop = _blob(a, free, centre, radii)
        image = a.image[box]
        loop &= image < -60
        image[loop] = 45
        image[loop & (roundness(a.space, box, centre, radii - 3) < 1)] = content


def _blob(a: Anatomy, free: Mask, centre: ArrayLike, radii: ArrayLike) -> tuple[Box, Mask]:
    """The free voxels of an ellipsoid, in the box around it."""
    box = a.space.box_around(centre, float(np.max(np.asarray(radii))))
    inside: Mask = (roundness(a.space, box, centre, radii) < 1) & free[box]
    return box, inside
