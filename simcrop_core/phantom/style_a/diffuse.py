"""Draws what runs through a lobe or both lungs: emphysema, mosaic attenuation, thick or wide bronchi, thick septa."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.choose import spots
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.lesions import patchy
from simcrop_core.phantom.style_a.space import Mask, smooth_noise
from simcrop_core.phantom.truth import LOBES


def draw_emphysema(a: Anatomy, f: Finding) -> Mask:
    """Many small dark holes through a lobe, some at the pleura."""
    rng = f.stream()
    lung = _extent(a, f)
    field = smooth_noise(rng, 72, a.grid) + 0.6 * smooth_noise(rng, 20, a.grid)
    if f.looks == "bullous":
        field = 0.8 * field + 0.9 * smooth_noise(rng, 26, a.grid)
    if f.looks == "paraseptal":
        field += np.clip(1.2 - a.depth / 12, -1, 1)
    least = {"mild": 1.25, "moderate": 0.8}.get(f.severity, 0.25)
    holes = lung & (field > least) & (a.image < -600)
    a.image[lung] -= {"mild": 8.0, "moderate": 18.0}.get(f.severity, 34.0)
    a.image[holes] = np.float32(rng.uniform(-995, -965))
    return lung


def draw_mosaic(a: Anatomy, f: Finding) -> Mask:
    """Lobules and larger areas of darker beside lighter lung, with sharp borders; vessels smaller in the dark."""
    rng = f.stream()
    lung = _extent(a, f)
    field = smooth_noise(rng, 34, a.grid) + 0.35 * smooth_noise(rng, 70, a.grid)
    swing = {"mild": 70.0, "moderate": 110.0}.get(f.severity, 150.0)
    air = a.image < -500
    a.image += np.float32(swing) * (np.clip(field * 4, -1, 1) * 0.5 + 0.25) * (lung & air)
    return lung


def draw_bronchiectasis(a: Anatomy, f: Finding) -> Mask:
    """Wide, thick-walled bronchi."""
    width = {"mild": 3.4, "moderate": 4.8}.get(f.severity, 6.4)
    return _bronchi(a, f, width, 1.9 if f.looks != "varicose" else 1.4, -120)


def draw_peribronchial(a: Anatomy, f: Finding) -> Mask:
    """Bronchi of normal width with thick walls."""
    wall = {"mild": 1.8, "moderate": 2.5}.get(f.severity, 3.3)
    return _bronchi(a, f, 2.2, wall, -60)


def draw_septal_thickening(a: Anatomy, f: Finding) -> Mask:
    """A net of thin dense lines through the outer part of the lung."""
    rng = f.stream()
    rise = {"mild": 190.0, "moderate": 280.0}.get(f.severity, 380.0)
    if f.lobe:
        box, cover = patchy(a, f, rng, rough=0.5, peripheral=True)
    else:
        box = (slice(None), slice(None), slice(None))
        ragged = a.depth / 26 + 0.3 * smooth_noise(rng, 20, a.grid) - np.clip(-a.space.z / 200, -0.3, 0.4)
        cover = np.clip((1 - ragged) * 4, 0, 1) * a.lung()
    net = np.minimum(np.abs(smooth_noise(rng, 46, a.grid, box)), np.abs(smooth_noise(rng, 40, a.grid, box)))
    a.image[box] += cover * np.clip((0.28 - net) / 0.1, 0, 1) * np.float32(rise)
    mask = np.zeros(a.grid.shape, dtype=bool)
    mask[box] = cover > 0.5
    return mask


def _extent(a: Anatomy, f: Finding) -> Mask:
    """The finding's lobe, or both lungs."""
    lung: Mask = a.lung()
    return lung & (a.lobes == f.lobe_index) if f.lobe else lung


def _bronchi(a: Anatomy, f: Finding, width: float, wall: float, wall_hu: float) -> Mask:
    """Trees of bronchi about the finding's centre, or in every lobe."""
    rng, whole = f.stream(), _extent(a, f)
    lobes = [f.lobe_index] if f.lobe else [i for i in range(1, len(LOBES)) if (a.lobes == i).any()]
    lumen: list[tubes.Tube] = []
    walls: list[tubes.Tube] = []
    for lobe in lobes:
        inner = (a.lobes == lobe) & (a.depth > 8)
        ends = spots(a, rng, inner, lobe, 7)
        if len(ends) < 2:
            continue
        if f.lobe:
            ends = np.array(f.centre) + 0.55 * (ends - np.array(f.centre))
        hilum = np.array([-42.0 if lobe <= 2 else 42.0, -14.0, 12.0])
        start = hilum + (ends.mean(0) - hilum) * 0.3
        tree = tubes.grow_tree(rng, start, ends, width, width * 0.5)
        lumen += tree
        walls += [replace(t, radius=t.radius + wall, end_radius=t.end_radius + wall) for t in tree]
    tubes.paint(a.image, a.space, walls, wall_hu, within=whole, lighter_only=True)
    tubes.paint(a.image, a.space, lumen, -975, within=whole)
    mask: Mask = tubes.inside(a.space, walls) & whole
    return mask
