"""Lungs between chest wall, mediastinum, heart and diaphragm, and their lobes."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.contours import fill, grown, ovals, wobbled
from simcrop_core.phantom.style_b.fields import noise, surface
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Box, Float, Image, Mask, around_mask, stream

# Heights of the diaphragm at landmarks of the reference body: x, y, z in mm.
_DOME: list[tuple[float, float, float]] = [
    (66, 12, -50),
    (80, -30, -62),
    (126, 0, -104),
    (62, 84, -82),
    (55, -90, -128),
    (112, -62, -134),
    (112, 55, -100),
    (20, 10, -70),
    (0, 75, -84),
    (-20, 28, -84),
    (-72, 5, -64),
    (-80, -35, -76),
    (-126, 0, -112),
    (-60, 84, -90),
    (-52, -90, -132),
    (-112, -62, -138),
    (-112, 55, -106),
    (0, -60, -132),
]
# Half widths to the left and right of the midline at the stations y, by level: the mediastinum without the heart.
_STATIONS = np.array([-112.0, -88, -70, -45, -20, 5, 30, 55, 80, 110])
_MEDIASTINUM: dict[float, tuple[tuple[float, ...], tuple[float, ...]]] = {
    150: ((60, 60, 60, 58, 52, 46, 44, 40, 34, 30), (60, 60, 60, 58, 52, 46, 44, 40, 34, 30)),
    118: ((32, 30, 27, 24, 26, 28, 30, 30, 26, 22), (32, 30, 27, 24, 24, 28, 31, 30, 26, 22)),
    90: ((29, 26, 22, 19, 26, 30, 32, 30, 26, 22), (29, 26, 22, 18, 22, 30, 33, 30, 26, 22)),
    60: ((28, 25, 21, 30, 36, 32, 20, 10, 8, 8), (28, 25, 20, 17, 22, 33, 33, 14, 6, 6)),
    35: ((28, 25, 24, 40, 40, 34, 26, 8, 5, 5), (28, 25, 20, 18, 30, 37, 32, 12, 4, 4)),
    10: ((28, 25, 26, 42, 44, 42, 32, 14, 6, 6), (28, 25, 20, 20, 38, 42, 34, 12, 4, 4)),
    -20: ((28, 25, 26, 40, 34, 30, 24, 16, 12, 10), (28, 25, 20, 19, 28, 30, 24, 10, 8, 8)),
    -60: ((28, 25, 26, 39, 30, 24, 24, 28, 24, 18), (28, 25, 20, 18, 20, 26, 22, 14, 12, 12)),
    -90: ((28, 25, 26, 38, 30, 24, 24, 28, 24, 18), (28, 25, 20, 18, 20, 26, 22, 14, 12, 12)),
    -140: ((30, 27, 26, 34, 26, 20, 18, 18, 18, 18), (30, 27, 22, 20, 22, 26, 18, 14, 12, 12)),
    -230: ((30, 27, 26, 34, 26, 20, 18, 18, 18, 18), (30, 27, 22, 20, 22, 26, 18, 14, 12, 12)),
}
HEART: list[tuple[float, ...]] = [
    (30, -4, 18, 16, 16, 12, 10, 1.0),
    (18, -6, 17, 34, 34, 24, 22, 1.0),
    (2, -10, 17, 48, 47, 36, 34, 0.95),
    (-20, -16, 18, 60, 54, 44, 40, 0.95),
    (-44, -22, 22, 68, 54, 46, 38, 0.95),
    (-66, -30, 30, 62, 48, 40, 32, 0.95),
    (-82, -38, 36, 42, 40, 26, 22, 1.0),
    (-90, -42, 38, 14, 14, 9, 9, 1.0),
]


def mediastinum_shape() -> tuple[Float, Float]:
    """Levels and control polygons of the mediastinum without the heart."""
    levels = np.array(list(_MEDIASTINUM), dtype=float)
    rows = []
    for left, right in _MEDIASTINUM.values():
        forward = np.stack([np.array(right), _STATIONS], axis=-1)
        backward = np.stack([-np.array(left), _STATIONS], axis=-1)[::-1]
        rows.append(np.concatenate([forward, backward]))
    return levels, np.stack(rows)


def heart_shape(scene: Scene) -> tuple[Float, Float]:
    """Levels and controls of the heart, scaled about the middle of its upper part."""
    k = scene.subject.heart
    rows = [
        (z if z > 0 else max(z * (1 + (k - 1) * 0.3), -104), x - 8 * (k - 1), y, a * k, b * k, f * k, c * k**0.7, s)
        for z, x, y, a, b, f, c, s in HEART
    ]
    levels, controls = ovals(rows, turn_degrees=-28.0)
    return levels, wobbled(stream(scene.seed, "heart"), controls, 0.02)


def draw_lungs(scene: Scene, fluid_mm: float) -> None:
    """Find the lungs and their lobes, fill them with lung texture and draw the fissures.

    Args:
        scene: with its chest wall; changed.
        fluid_mm: thickness of the fluid about the heart, 0 for none.
    """
    rng = stream(scene.seed, "lungs")
    grid, subject = scene.grid, scene.subject
    landmarks = np.array(_DOME) + rng.normal(0, 2.0, (len(_DOME), 3))
    landmarks[:, 2] -= subject.breath_mm * np.array([1.0 if z > -90 else 0.6 for _, _, z in _DOME])
    scene.dome = surface(grid, subject.place(landmarks))
    scene.heart = scene.outline(heart_shape(scene))
    lung = fill(grid, scene.cage).flat_within(grid)
    for margin in (fill(grid, scene.outline(mediastinum_shape())), fill(grid, grown(scene.heart, 3.5 + fluid_mm))):
        lung[margin.box] &= ~margin.mask
    z = grid.axis(2).astype(np.float32)
    lung &= z[None, None, :] > scene.dome[:, :, None]
    lung &= z[None, None, :] < _tops(scene)[:, :, None]
    middle = subject.place(np.stack([np.zeros_like(z), np.zeros_like(z), z / subject.stretch[2]], axis=-1))[:, 0]
    left = grid.axis(0)[:, None, None] < middle[None, None, :]
    scene.labels[lung & left] = 1
    scene.labels[lung & ~left] = 2
    box = around_mask(lung)
    texture = _lung_texture(scene, box, rng)
    np.copyto(scene.image[box], texture, where=lung[box])
    _draw_lobes(scene, rng)
    if fluid_mm > 0:
        region = fill(grid, grown(scene.heart, 2.0 + fluid_mm))
        inner = fill(grid, grown(scene.heart, 2.0)).flat_within(grid)[region.box]
        region.mask[inner] = False
        region.mask[z[None, None, region.box[2]] < scene.dome[region.box[0], region.box[1], None] - 4] = False
        scene.fluid = region


def _tops(scene: Scene) -> Image:
    """(X, Y) height of the lung apices: a paraboloid each side."""
    top = np.full(scene.grid.shape[:2], -1e4, dtype=np.float32)
    x, y = scene.grid.axis(0)[:, None], scene.grid.axis(1)[None, :]
    for side in (-1, 1):
        cx, cy, cz = scene.subject.place(np.array([side * 46.0, -34.0, 132.0]))
        top = np.maximum(top, (cz - (x - cx) ** 2 / 60 - (y - cy) ** 2 / 70).astype(np.float32))
    return top


def _fissure(scene: Scene, landmarks: list[tuple[float, float, float]], rng: np.random.Generator) -> Image:
    points = np.array(landmarks, dtype=float)
    points += rng.normal(0, 3.0, points.shape)
    return surface(scene.grid, scene.subject.place(points))


def _draw_lobes(scene: Scene, rng: np.random.Generator) -> None:
    """Label the lobes and draw the fissures between them as faint lines."""
    left = _fissure(
        scene, [(-60, -95, 74), (-40, -50, 48), (-110, -50, 40), (-60, 0, -8), (-120, 10, -22), (-60, 60, -84)], rng
    )
    right = _fissure(
        scene, [(60, -95, 62), (40, -50, 40), (110, -50, 30), (60, 0, -20), (120, 10, -32), (60, 60, -88)], rng
    )
    minor = _fissure(scene, [(60, 80, 0), (50, 40, 6), (110, 40, 2), (60, 0, 6), (115, 0, 4), (30, 60, 4)], rng)
    lift = np.float32(rng.uniform(50, 110))
    thin = np.float32(max(scene.grid.spacing_mm[2] * 0.45, 0.9))
    z = scene.grid.axis(2).astype(np.float32)[None, None, :]
    for label, oblique, upper, lower in ((1, left, 1, 2), (2, right, 3, 5)):
        lung = scene.labels == label
        box = around_mask(lung)
        lung = lung[box]
        above = z[:, :, box[2]] - oblique[box[0], box[1], None]
        lobes = np.where(above > 0, np.uint8(upper), np.uint8(lower))
        seen = np.abs(above) < thin
        if label == 2:
            over = z[:, :, box[2]] - minor[box[0], box[1], None]
            lobes[(above > 0) & (over <= 0)] = 4
            seen |= (above > 0) & (np.abs(over) < thin)
        np.copyto(scene.lobes[box], lobes, where=lung)
        scene.image[box][seen & lung] += lift


def _lung_texture(scene: Scene, box: Box, rng: np.random.Generator) -> Image:
    """Density of healthy lung over a box: denser towards the back, band-limited mottle."""
    texture = noise(scene.grid, box, 40.0, rng) * np.float32(9)
    texture += noise(scene.grid, box, 7.0, rng) * np.float32(14)
    slope = (-scene.grid.axis(1)[box[1]] / 100 * rng.uniform(12, 30)).astype(np.float32)
    texture += np.float32(scene.subject.lung_hu) + slope[None, :, None]
    return texture


def lung_mask(scene: Scene) -> Mask:
    """Both lungs."""
    return np.asarray((scene.labels == 1) | (scene.labels == 2))
