"""Bones: vertebrae, ribs with their cartilages, sternum, clavicles and scapulae."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.scaffold import cage_point
from simcrop_core.phantom.style_a.space import Field
from simcrop_core.phantom.style_a.tubes import Tube, polyline

# Body z (mm) of the first rib's head.
_FIRST_RIB = 112.0


def draw_skeleton(a: Anatomy, body: Body, texture: Field) -> None:
    """Draw all bones of the chest into the image; the spine gets its label, ribs and sternum a region."""
    rng = body.stream("skeleton")
    pitch = float(rng.uniform(21, 25.5))
    _spine(a, body, pitch, texture, rng)
    _ribs(a, body, pitch, rng)
    _sternum(a, body, texture)
    if not a.sketch:
        _clavicles(a, body)
        _scapulae(a, body)


def _spine(a: Anatomy, body: Body, pitch: float, texture: Field, rng: np.random.Generator) -> None:
    """Vertebral bodies and discs, the canal, pedicles, transverse and spinous processes."""
    box = a.space.box([-45, -135, -240], [45, -25, 210])
    tex, image = texture[box], a.image[box]
    z = a.space.z[box]
    x, y = a.space.x[box], a.space.y[box] + 62 - 14 * ((z + 20) / 130) ** 2
    phase = np.abs((z / np.float32(pitch)) % 1 - 0.5) * np.float32(pitch)
    wide = (1 - 0.0018 * (z + 20)) * (1 + 0.06 * (phase / pitch - 0.25))
    radius = np.sqrt((x / (17.5 * wide)) ** 2 + (y / (14.5 * wide)) ** 2)
    disc = phase > pitch * 0.5 - (3.4 - 0.012 * body.age)
    core = (radius < 1) & (y > -12.5)
    arch = (np.abs(np.hypot(x, y + 22) - 12) < 3.6) & (y < -11) & (phase < pitch * 0.36)
    arch |= (np.abs(x) < 3) & (y < -32) & (np.abs(y + 46 - phase) < 16) & (phase < pitch * 0.4)
    arch |= (np.abs(x) > 9) & (np.abs(x) < 33) & (np.abs(y + 20 + np.abs(x) * 0.3) < 4.5) & (phase < pitch * 0.19)
    canal = (np.hypot(x / 1.15, y + 22) < 8.2) & (y < -12)
    rim = core & ~disc & ((radius > 0.9) | (phase > pitch * 0.5 - 5.2))
    np.copyto(image, body.marrow + (22 + 0.15 * body.marrow) * tex, where=core)
    image[rim] = body.marrow * 0.5 + body.cortex * 0.55
    image[core & disc] = 82
    image[arch] = body.cortex * 0.75 + 60 * tex[arch]
    image[canal] = 22
    image[canal & (np.hypot(x, y + 22) < 5)] = 38
    if body.age > 55:
        spur = (radius > 0.95) & (radius < 1.18) & (y > -6) & disc & (np.sin(z / 37 + rng.uniform(0, 6)) > 0.2)
        image[spur] = body.cortex * 0.9
    a.labels[box][core | arch | canal] = 8


def _ribs(a: Anatomy, body: Body, pitch: float, rng: np.random.Generator) -> None:
    """Twelve curved bones a side that run down to the front, the upper ten joined by cartilage."""
    slope = float(rng.uniform(0.85, 1.15))
    if a.sketch:
        a.regions["ribs"] = (a.depth < 0) & (a.depth > -9) & (a.space.z < 110) & (a.labels != 8)
        return
    bones: list[Tube] = []
    cartilages: list[Tube] = []
    for side in (-1, 1):
        for number in range(1, 13):
            high = _FIRST_RIB - (number - 1) * pitch
            drop = slope * min(34 + 11 * number, 100)
            end = np.deg2rad(34 if number <= 7 else {8: 46, 9: 55, 10: 66, 11: 95, 12: 118}[number])
            path = [[side * 15.0, -60 + 14 * ((high + 20) / 130) ** 2 - 8, high]]
            path.append([side * 34.0, path[0][1] - 10, high + 1])
            for t in np.linspace(0, 1, 7):
                angle = np.deg2rad(148) + (end - np.deg2rad(148)) * t
                path.append(cage_point(body, side * angle, high - drop * float(t**1.15), 5.0))
            bones += polyline(path, [3.6, 4.6, 4.6, 4.4, 4.6, 5.2], 2)
            if number <= 10:
                last = path[-1]
                rise = 4 if number <= 3 else 9 * (number - 3)
                join = cage_point(body, side * np.deg2rad(12 + 2 * max(number - 6, 0)), min(last[2] + rise, 96), 6.0)
                between = cage_point(body, side * np.deg2rad(24 + 3 * max(number - 6, 0)), last[2] + 0.3 * rise, 5.5)
                cartilages += polyline([last, between, join], 5.0, 2)
    tubes.paint(a.image, a.space, cartilages, 95, within=a.regions["body"])
    if body.age > 50:
        shells = [t for t in cartilages if rng.random() < (body.age - 45) / 80]
        tubes.paint(a.image, a.space, shells, 330, within=a.regions["body"])
        tubes.paint(a.image, a.space, [Tube(t.start, t.end, 3.4, 3.4) for t in shells], 100)
    tubes.paint(a.image, a.space, bones, body.cortex * 1.15, lighter_only=True)
    marrow = [Tube(t.start, t.end, max(t.radius - 1.7, 0.8), max(t.end_radius - 1.7, 0.8)) for t in bones]
    tubes.paint(a.image, a.space, marrow, body.marrow * 0.9)
    a.regions["ribs"] = tubes.inside(a.space, bones)


def _sternum(a: Anatomy, body: Body, texture: Field) -> None:
    """Manubrium, body and xiphoid process, following the rib cage's front."""
    box = a.space.box([-30, 20, -75], [30, 140, 110])
    x, z, shell = np.abs(a.space.x[box]), a.space.z[box], -a.depth[box]
    half = np.where(z > 62, 14 + 0.26 * (z - 62), 11 + np.clip(62 - z, 0, 80) * 0.055)
    half = np.where(z < -42, np.clip(6 - (-42 - z) * 0.15, 0, 6), half)
    thick = np.where(z > 62, 6.5, 5.2)
    joint = np.abs(z - 62) < 1.6
    bone = (x < half) & (np.abs(shell - 8) < thick) & (a.space.y[box] > 20) & (z < 98) & (z > -70) & ~joint
    rind = bone & ((np.abs(shell - 8) > thick - 1.5) | (x > half - 2))
    image = a.image[box]
    np.copyto(image, body.marrow * 0.7 + 25 * texture[box], where=bone)
    image[rind] = body.cortex * 0.6
    a.name("sternum", box, bone)


def _clavicles(a: Anatomy, body: Body) -> None:
    """From the manubrium to the shoulder, curved, rising when the arms are up."""
    out = 118.0 if body.arms_down else 134.0
    for side in (-1, 1):
        start = cage_point(body, side * 0.3, 92, 9)
        line: list[list[float]] = [start, [side * 62, start[1] + 4, 104], [side * 100, 22, 114], [side * 138, -4, out]]
        tubes.paint(a.image, a.space, polyline(line, [8, 5.6, 5.4, 6]), body.cortex * 1.1)
        tubes.paint(a.image, a.space, polyline(line, [6, 3.4, 3.2, 3.8]), body.marrow * 0.9)


def _scapulae(a: Anatomy, body: Body) -> None:
    """A thin triangular blade on the back of the rib cage, its spine, and the socket of the shoulder."""
    box = a.space.box([-160, -140, -20], [160, 30, 130])
    x, y, z = np.abs(a.space.x[box]), a.space.y[box], a.space.z[box]
    turn = 0.0 if body.arms_down else 14.0
    lift = -a.depth[box] - 19 - np.clip(z - 20, 0, 90) * 0.12
    inner = 62 + turn + np.clip((z - 60) / 60, -1, 1) * -6 + np.clip(10 - z, 0, 40)
    outer = 84 + turn + np.clip(z - 5, 0, 100) * 0.5
    blade = (np.abs(lift) < 1.9) & (y < 0) & (x > inner) & (x < outer) & (z > -12) & (z < 112)
    border = (np.abs(lift) < 4.2) & (np.abs(x - outer) < 5) & (y < 0) & (z > -8) & (z < 100)
    image = a.image[box]
    body_here = a.regions["body"][box]
    image[blade & body_here] = body.cortex * 0.8
    image[border & body_here] = body.cortex * 0.65
    for side in (-1, 1):
        joint: list[float] = [side * (150 if body.arms_down else 132), -20, 106.0 if body.arms_down else 114.0]
        ridge: list[list[float]] = [[side * (70 + turn), -104, 82], [side * 105, -84, 96], [side * 148, -34, 122]]
        tubes.paint(a.image, a.space, polyline(ridge, [2.5, 3.8, 5.5]), body.cortex * 0.9, within=a.regions["body"])
        neck: list[list[float]] = [[side * (112 + 0.5 * turn), -52, 84], joint]
        tubes.paint(a.image, a.space, polyline(neck, [5.5, 11]), body.cortex * 0.7, within=a.regions["body"])
        tubes.paint(a.image, a.space, polyline(neck, [3, 8.8]), body.marrow * 1.2)
