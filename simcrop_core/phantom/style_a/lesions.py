"""Draws what fills or scars part of a lung: nodules, masses, consolidation, ground glass, atelectasis, bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.choose import quantile, spots
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.space import Box, Field, Mask, roundness, smooth_noise
from simcrop_core.phantom.truth import LOBES


def draw_nodule(a: Anatomy, f: Finding) -> Mask:
    """One or several nodules: solid, ground-glass, part-solid or calcified."""
    rng = f.stream()
    hu = {
        "solid": rng.uniform(-20, 60),
        "ground-glass": rng.uniform(-640, -450),
        "calcified": rng.uniform(220, 700),
    }.get(f.looks, rng.uniform(-450, -250))
    mask = _lesion(a, f, rng, f.centre, f.reach, hu)
    if f.several:
        region = (a.lobes == f.lobe_index) & (a.depth > 3)
        for centre in spots(a, rng, region, f.lobe_index, int(rng.integers(2, 6))):
            mask |= _lesion(a, f, rng, centre, f.reach * rng.uniform(0.55, 0.95), hu)
    return mask


def draw_mass(a: Anatomy, f: Finding) -> Mask:
    """A large lesion: spiculated, lobulated, cavitating or smooth."""
    rng = f.stream()
    return _lesion(a, f, rng, f.centre, f.reach, rng.uniform(15, 60) + 0.15 * a.iodine)


def draw_consolidation(a: Anatomy, f: Finding) -> Mask:
    """Dense airspace filling of part of a lobe, bronchi left open."""
    rng = f.stream()
    box, cover = patchy(a, f, rng, rough=0.5)
    image = a.image[box]
    solid = cover * (image > -940)
    image += solid * (rng.uniform(15, 60) + 0.2 * a.iodine - image) * np.float32(rng.uniform(0.9, 1.0))
    return _in_box(a, box, solid > 0.5)


def draw_ground_glass(a: Anatomy, f: Finding) -> Mask:
    """Hazy increase of density in part of a lobe, vessels still seen; mostly at the periphery."""
    rng = f.stream()
    box, cover = patchy(a, f, rng, rough=0.8, peripheral=f.looks == "peripheral")
    rise = {"mild": 180.0, "moderate": 270.0}.get(f.severity, 350.0) * rng.uniform(0.85, 1.2)
    image = a.image[box]
    room = np.clip((-150 - image) / 500, 0, 1)
    image += cover * np.float32(rise) * room * (1 + 0.15 * smooth_noise(rng, 70, a.grid, box))
    if rng.random() < 0.35:
        image += cover * (np.abs(smooth_noise(rng, 74, a.grid, box)) < 0.2) * 110
    return _in_box(a, box, cover > 0.5)


def draw_atelectasis(a: Anatomy, f: Finding) -> Mask:
    """A plate or a wedge of airless lung, mostly at the base."""
    rng = f.stream()
    lung = (a.lobes == f.lobe_index) & a.lung()
    if f.looks in ("linear", "plate-like", "subsegmental"):
        box = a.space.box_around(f.centre, f.reach + 8)
        tilt = rng.normal(0, 0.25, 3) + np.array([0, rng.normal(0, 0.3), 1])
        x, y, z = (v[box] - np.float32(c) for v, c in zip((a.space.x, a.space.y, a.space.z), f.centre, strict=True))
        thick = {"mild": 2.0, "moderate": 3.0}.get(f.severity, 4.5)
        bend = 2.5 * smooth_noise(rng, 24, a.grid, box)
        plate = np.abs(x * tilt[0] + y * tilt[1] + z * tilt[2] + bend) < thick
        mask = _in_box(a, box, plate & lung[box] & (np.hypot(x, y) < f.reach))
    else:
        share = {"mild": 0.08, "moderate": 0.17}.get(f.severity, 0.3)
        hang = a.space.y + 0.6 * np.clip(a.above, -20, 140)
        mask = lung & (hang + 3 * smooth_noise(rng, 30, a.grid) < quantile(hang, lung, share))
    a.image[mask] = 0.15 * a.image[mask] + np.float32(rng.uniform(25, 60) + 0.3 * a.iodine)
    return mask


def draw_band(a: Anatomy, f: Finding) -> Mask:
    """A thin scar between the lung's inside and the pleura, sometimes two."""
    rng = f.stream()
    lung = (a.lobes == f.lobe_index) & a.lung()
    strands: list[tubes.Tube] = []
    for number in range(int(rng.integers(1, 3))):
        start = np.array(f.centre) + number * rng.normal(0, 4, 3)
        end = start + rng.normal(0, 1, 3) * [12, 12, 10] + np.array([-np.sign(start[0]) * 16, 0, 0])
        middle = (start + end) / 2 + rng.normal(0, 3, 3)
        strands += tubes.polyline([start.tolist(), middle.tolist(), end.tolist()], rng.uniform(1.2, 2.2))
    tubes.paint(a.image, a.space, strands, rng.uniform(-60, 60), within=lung, lighter_only=True)
    mask: Mask = tubes.inside(a.space, strands) & lung
    return mask


def patchy(
    a: Anatomy, f: Finding, rng: np.random.Generator, *, rough: float, peripheral: bool = False
) -> tuple[Box, Field]:
    """A box, and 0…1 cover of an irregular part of the finding's lobe about its centre."""
    box = a.space.box_around(f.centre, f.reach * 1.6)
    lung = (a.lobes[box] == f.lobe_index) & (a.labels[box] > 0)
    away = np.sqrt(roundness(a.space, box, f.centre, (f.reach,) * 3))
    ragged = away + np.float32(rough * 0.3) * smooth_noise(rng, 24, a.grid, box)
    ragged += np.float32(rough * 0.15) * smooth_noise(rng, 60, a.grid, box)
    if peripheral:
        ragged = ragged + np.clip(a.depth[box] / 35, 0, 2) * np.float32(0.5)
    cover: Field = np.clip((1.05 - ragged) * 5, 0, 1).astype(np.float32) * lung
    return box, cover


def _lesion(a: Anatomy, f: Finding, rng: np.random.Generator, centre: ArrayLike, radius: float, hu: float) -> Mask:
    """A rounded lesion, its outline roughened, cut off where the lung ends."""
    middle = np.asarray(centre, dtype=np.float64)
    box = a.space.box_around(middle, radius * 1.7)
    rough = {"spiculated": 0.2, "lobulated": 0.16}.get(f.looks, 0.06)
    squash = rng.uniform(0.82, 1.2, 3)
    away = np.float32(radius) * np.sqrt(roundness(a.space, box, middle, radius * squash))
    knots = int(np.clip((90 if f.looks == "spiculated" else 60) * 12 / radius, 20, 110))
    inside = np.float32(radius) * (1 + np.float32(rough) * smooth_noise(rng, knots, a.grid, box)) - away
    lung = ((a.labels[box] == 1) | (a.labels[box] == 2)) & ((a.lobes[box] == f.lobe_index) | (a.lobes[box] == 0))
    soft = 2.5 if f.looks in ("ground-glass", "part-solid") else 1.3
    cover = np.clip(inside / np.float32(soft) + 0.5, 0, 1) * lung
    image = a.image[box]
    image += cover * np.maximum(np.float32(hu) - image, 0)
    if f.looks == "spiculated":
        rays = rng.normal(0, 1, (16, 3))
        rays *= (radius * rng.uniform(1.3, 1.8, (16, 1))) / np.linalg.norm(rays, axis=1, keepdims=True)
        spikes = [tubes.Tube(middle + r * 0.5, middle + r, 1.5, 0.4) for r in rays]
        tubes.paint(a.image, a.space, spikes, hu, within=a.lung(), lighter_only=True)
    core = (away < radius * 0.55) & lung
    if f.looks == "cavitary":
        image[core] = -900
    if f.looks == "part-solid":
        image[core] = 20
    mask = _in_box(a, box, cover > 0.5)
    at = a.space.voxel_at(middle)
    mask[at] |= bool(LOBES[a.lobes[at]] == f.lobe)
    return mask


def _in_box(a: Anatomy, box: Box, part: Mask) -> Mask:
    mask = np.zeros(a.grid.shape, dtype=bool)
    mask[box] = part
    return mask
