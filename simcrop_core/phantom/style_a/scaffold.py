"""The smooth surfaces a chest hangs on: skin, rib cage, diaphragm, pleura and fissures, as distances in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.space import PLAN, Field, Grid, Points, Space, body_space, resampled, smooth_noise

# A dome that stands high (paresis, loss of volume, a full stomach): how often, and how much higher.
_RAISED_RATE, _RAISED_MM = 0.15, (15.0, 45.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scaffold:
    """Distances (mm) of every voxel of a grid.

    Attributes:
        horizontal: (slope, offset): slope × body y + offset + `oblique` is above the horizontal one.
        skin: below the skin; negative outside the body.
        depth: below the pleura of the chest wall; negative outside the rib cage.
        above: above the diaphragm.
        lung: inside the surface of either lung, which lie to both sides of the midline.
        oblique: above the oblique fissures.
        muscle: how thick muscle lies on the rib cage.
    """

    horizontal: tuple[float, float]
    skin: Field
    depth: Field
    above: Field
    lung: Field
    oblique: Field
    muscle: Field

    def on(self, grid: Grid) -> Scaffold:
        """The same surfaces, worked out on `PLAN`, on another grid."""
        if grid == PLAN:
            return self
        surfaces = (self.skin, self.depth, self.above, self.lung, self.oblique, self.muscle)
        return Scaffold(self.horizontal, *(resampled(field, PLAN, grid) for field in surfaces))


def draw_scaffold(body: Body) -> Scaffold:
    """A person's surfaces on the coarse grid `PLAN`."""
    space = body_space(PLAN, body.matrix, body.offset, body.warp)
    rng = body.stream("scaffold")
    depth, above = _cavity(space, body), _above_diaphragm(space, body, rng)
    lung = _lungs(space, depth, above, rng)
    bumps = 4 * smooth_noise(rng, 8, PLAN)
    steep, back, level = (float(v) for v in rng.uniform([0.9, 8, -8], [1.25, 20, 14]))
    oblique = space.z + steep * (space.y + back) + bumps
    skin = _skin(space, body, rng)
    surfaces = (f.astype(np.float32) for f in (skin, depth, above, lung, oblique, _muscle(space, body)))
    return Scaffold((0.12 - steep, -steep * back - level), *surfaces)


def cage_point(body: Body, angle: float, z: float, outside_mm: float) -> list[float]:
    """The body point so far outside the rib cage's inner surface, `angle` radians from the front to the right."""
    top, across, deep = (float(v) for v in _widths(body, np.array(min(z, 0.97 * body.top))))
    s, c = np.sin(angle), np.cos(angle)
    reach = (abs(s / across) ** body.power + abs(c / deep) ** body.power) ** (-1 / body.power)
    if c < 0:
        deep += float(_gutter(np.array(s * reach)))
        reach = (abs(s / across) ** body.power + abs(c / deep) ** body.power) ** (-1 / body.power)
    return [float(s * (reach + outside_mm)), float(c * (reach + outside_mm) - 14 * top**2), z]


def capsule(space: Space, start: ArrayLike, end: ArrayLike, radius: float) -> Field:
    """Distance (body mm) inside a round rod."""
    a, b = np.asarray(start, dtype=np.float32), np.asarray(end, dtype=np.float32)
    d = b - a
    x, y, z = space.x - a[0], space.y - a[1], space.z - a[2]
    along = np.clip((x * d[0] + y * d[1] + z * d[2]) / float(d @ d), 0, 1)
    away = np.sqrt((x - along * d[0]) ** 2 + (y - along * d[1]) ** 2 + (z - along * d[2]) ** 2)
    inside: Field = np.float32(radius) - away
    return inside


def _cavity(space: Space, body: Body) -> Field:
    """The rib cage's inner surface: an in-plane superellipse that narrows to a dome at the top."""
    top, half_x, half_y = _widths(body, space.z)
    y = space.y + 14 * top**2
    across, deep = np.abs(space.x) / half_x, np.abs(y) / (half_y + _gutter(space.x) * (y < 0))
    depth: Field = (1 - (across**body.power + deep**body.power) ** (1 / body.power)) * 95
    return depth


def _widths(body: Body, z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """At heights (body mm): how far up the dome, 0…1; half the rib cage's inner width; half its depth, mm."""
    top = np.clip(z / np.float32(body.top), 0, 0.995)
    taper = 1 - 0.1 * np.clip((z + 80) / 150, 0, 1.3)
    return top, body.half_x * taper * (1 - top**2.6) ** 0.42, body.half_y * (1 - top**3) ** 0.42


def _gutter(x: NDArray[Any]) -> NDArray[Any]:
    """How much deeper (mm) than in the midline the rib cage is beside the spine."""
    deeper: NDArray[Any] = 10 * np.exp(-(((np.abs(x) - 56) / 30) ** 2))
    return deeper


def _above_diaphragm(space: Space, body: Body, rng: np.random.Generator) -> Field:
    """Height above the diaphragm's two domes, right a little higher than left; now and then one is raised."""
    right, left = -78 + body.breath_mm + rng.normal(0, 4), -88 + body.breath_mm + rng.normal(0, 5)
    own = body.stream("diaphragm")
    if own.random() < _RAISED_RATE:
        raised = own.uniform(*_RAISED_MM)
        right, left = (right + raised, left) if own.random() < 0.5 else (right, left + raised)
    blend = np.clip(space.x / 60 + 0.5, 0, 1)
    lateral = np.abs(space.x) - 62
    side = np.where(lateral > 0, 50 * (lateral / 68) ** 2, 14 * (lateral / 62) ** 2)
    front = (space.y - 18) / 88
    surface = left + (right - left) * blend - side - np.where(front > 0, 26, 62) * front**2
    above: Field = (space.z - surface).astype(np.float32)
    return above


def _lungs(space: Space, depth: Field, above: Field, rng: np.random.Generator) -> Field:
    """Both lungs inside the cavity, above the diaphragm, beside the mediastinum and the spine."""
    x, y, z = space.x, space.y, space.z
    apex = 119 - 45 * ((np.abs(x) - 55) / 56) ** 2 - 22 * ((y + 14) / 70) ** 2 - z
    # Vessels and heart push the lungs aside where they lie; between them the lungs nearly meet.
    upper = np.clip((z - 34) / 40, 0, 1) * np.clip(1.25 - ((y + 2) / 42) ** 2, 0, 1)
    hilum = np.exp(-(((z - 15) / 20) ** 2) - ((y + 12) / 24) ** 2)
    behind = np.clip((y + 20) / -20, 0, 1)
    front = np.clip((y - 10) / 25, 0, 1) * 4 - np.clip((y - 62) / 18, 0, 1) * 8
    middle = 6 - front + 22 * upper + 20 * hilum + 6 * behind + 7 * np.clip((z - 85) / 25, 0, 1)
    middle = middle + 2 * smooth_noise(rng, 9, PLAN)
    spine = (np.hypot(x / 23, (y + 62 - 14 * ((z + 20) / 130) ** 2) / 21) - 1) * 22
    common = np.minimum(np.minimum(depth - 1.4, above), np.minimum(apex, spine))
    lung: Field = np.minimum(common, np.abs(x) - middle)
    return lung


def _skin(space: Space, body: Body, rng: np.random.Generator) -> Field:
    """Trunk, neck, shoulders, arms and breasts."""
    x, y, z = space.x, space.y, space.z
    wall = body.fat_mm + 12 * body.muscle
    shoulder = np.clip((z - 20) / 90, 0, 1) ** 2
    half_x = body.half_x + 16 + 1.15 * wall + shoulder * 42
    half_y = body.half_y + 15 + 0.75 * wall - shoulder * rng.uniform(2, 14)
    neck = np.clip((z - 108) / 42, 0, 1)
    half_x = half_x + (66 + 0.3 * body.fat_mm - half_x) * neck
    half_y = half_y + (68 + 0.3 * body.fat_mm - half_y) * neck
    outline = (np.abs(x / half_x) ** 2.5 + np.abs((y + 10 + 8 * neck) / half_y) ** 2.5) ** 0.4
    skin: Field = ((1 - outline) * np.minimum(half_x, half_y)).astype(np.float32)
    for side in (-1, 1):
        elbow = [side * 205, -20, -160] if body.arms_down else [side * 165, 5, 290]
        joint = [side * (172 if body.arms_down else 150), -14, 108 if body.arms_down else 122]
        thick = 40 + 0.5 * body.fat_mm
        skin = np.maximum(skin, capsule(space, [side * 70, -16, 108], joint, thick + 6))
        skin = np.maximum(skin, capsule(space, joint, elbow, thick))
        if body.sex == "F":
            large = rng.uniform(0.7, 1.3) * (0.8 + body.fat_mm / 60)
            centre = np.array([side * rng.uniform(66, 78), body.half_y - 4, rng.uniform(-32, -4)])
            skin = np.maximum(skin, _ball(space, centre, np.array([64, 42, 60]) * large**0.5))
    return skin


def _muscle(space: Space, body: Body) -> Field:
    """Pectorals, serratus and latissimus, the back's muscles, and the shoulder girdle."""
    x, y, z = np.abs(space.x), space.y, space.z
    front = np.clip(y / 30, 0, 1) * np.clip((z - 5) / 30, 0, 1) * np.clip((x - 14) / 16, 0, 1)
    front *= np.clip((125 - x) / 30, 0, 1)
    side = np.clip((x - 85) / 30, 0, 1) * np.clip((25 - y) / 40, 0, 1) * np.clip((z + 120) / 120, 0, 1)
    back = np.clip(-y / 60, 0, 1) * np.clip((62 - np.abs(x - 30)) / 26, 0, 1)
    girdle = np.clip((z - 40) / 50, 0, 1)
    thick: Field = body.muscle * (10 + 15 * front + 15 * side + (30 - 8 * girdle) * back)
    thick += 20 * body.muscle * girdle * np.clip((20 - y) / 40, 0, 1) * np.clip(x / 60, 0, 1)
    thick += 26 * np.clip((z - 104) / 14, 0, 1)
    return thick


def _ball(space: Space, centre: Points, radii: Points) -> Field:
    away = np.sqrt(sum(((f - c) / r) ** 2 for f, c, r in zip((space.x, space.y, space.z), centre, radii, strict=True)))
    inside: Field = (1 - away) * float(radii.min())
    return inside
