"""Lungs with their lobes and fissures, airways to the segments, arteries and veins that taper to the pleura."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.scaffold import Scaffold
from simcrop_core.phantom.style_a.space import Field, Points, ellipsoid, smooth_noise
from simcrop_core.phantom.style_a.tubes import Tube, polyline

# Body mm where a lobe's bronchus leaves its parent: main bronchus of the side, then this fork.
_LOBE_FORKS = {
    1: (-48.0, -12.0, 18.0),
    2: (-44.0, -26.0, 4.0),
    3: (42.0, -10.0, 26.0),
    4: (42.0, -6.0, -4.0),
    5: (42.0, -26.0, -8.0),
}
_LUL, _LLL, _RUL, _RML, _RLL = (np.uint8(i) for i in range(1, 6))


def draw_lungs(a: Anatomy, body: Body, scaffold: Scaffold, texture: Field) -> None:
    """Parenchyma that is denser where it hangs lower, its lobes, and the fissures between them."""
    rng = body.stream("lungs")
    air = -872 + 1.1 * body.breath_mm + rng.normal(0, 14) - 0.35 * max(body.age - 40, 0)
    gradient, dense = rng.uniform([0.05, 50], [0.55, 150])
    box = a.space.box([-140, -108, -165], [140, 105, 128])
    x, y, tex, image = a.space.x[box], a.space.y[box], texture[box], a.image[box]
    oblique, lung = scaffold.oblique[box], scaffold.lung[box] > 0
    patches = np.float32(9) * smooth_noise(rng, 24, a.grid, box)
    np.copyto(image, np.float32(air) - np.float32(gradient) * y + 13 * tex + patches, where=lung)
    right, behind = lung & (x > 0), oblique < 0
    slope, offset = scaffold.horizontal
    horizontal = oblique + np.float32(slope) * y + np.float32(offset)
    lobes = np.where(right, np.where(behind, _RLL, np.where(horizontal > 0, _RUL, _RML)), np.where(behind, _LLL, _LUL))
    np.copyto(a.lobes[box], lobes, where=lung)
    np.copyto(a.labels[box], np.where(right, np.uint8(2), np.uint8(1)), where=lung)
    thin = np.float32(0.9 if a.grid.spacing_mm[2] < 2.5 else 1.3)
    fissure = lung & (np.abs(oblique) < thin * 1.3)
    fissure |= right & ~behind & (np.abs(horizontal) < thin)
    fissure &= tex > -1.2
    image[fissure] += np.float32(dense)
    cavity = (a.depth > 1.4) & (a.above > 0) & (a.labels == 0)
    np.copyto(a.image, -92 + 18 * texture, where=cavity)
    a.regions["mediastinum"] = cavity & (a.space.z > -40) & (np.abs(a.space.x) < 50) & (a.space.z < 112)
    for side, name in ((-1, "left hilum"), (1, "right hilum")):
        a.regions[name] = ellipsoid(a.space, (side * 44, -14, 15), (16, 18, 24))


def draw_airways(a: Anatomy, body: Body) -> None:
    """Trachea, main, lobar and segmental bronchi: lumen, wall, label (trachea and main bronchi)."""
    rng, s = body.stream("airways"), a.space
    carina: list[float] = [3.0, -14.0, float(rng.uniform(40, 48))]
    wide = float(rng.uniform(7.6, 9.6) * (0.9 if body.sex == "F" else 1.05))
    main = polyline([[0.0, -2.0, 170.0], [1.0, -5.0, 110.0], carina], wide)
    right: list[list[float]] = [carina, [20, -16, carina[2] - 13], [34, -16, 20]]
    left: list[list[float]] = [carina, [-20, -18, carina[2] - 12], [-44, -20, 18]]
    main += polyline(right, [8, 7.2, 6.2]) + polyline(left, [7.4, 6.4, 5.8])
    trachea = tubes.inside(s, main)
    a.take(trachea, 3)
    a.regions["carina"] = trachea & (np.abs(s.z - carina[2]) < 12)
    if a.sketch:
        return
    twigs = polyline([right[-1], [38.0, -20.0, 4.0], list(_LOBE_FORKS[5])], [5.4, 5.0, 4.4])
    for lobe, fork in _LOBE_FORKS.items():
        root = np.array(fork, dtype=np.float64)
        near = np.asarray(right[-1] if lobe > 2 else left[-1], dtype=np.float64)
        targets = scattered(a, rng, lobe, 10, margin=20)
        if len(targets):
            twigs += [Tube(near, root, 4.8, 4.2), *tubes.grow_tree(rng, root, targets, 4.0, 0.9)]
    wall = [Tube(t.start, t.end, t.radius + 1.5, t.end_radius + 1.5) for t in main]
    tubes.paint(a.image, s, wall, 10, lighter_only=True)
    walls = [Tube(t.start, t.end, t.radius + 1.0, t.end_radius + 0.7) for t in twigs]
    tubes.paint(a.image, s, walls, -250, lighter_only=True)
    tubes.paint(a.image, s, twigs, -960)
    tubes.paint(a.image, s, main, -990)
    if body.age > 60 and rng.random() < 0.5:
        rings = [Tube(t.start, t.end, t.radius + 1.4, t.end_radius + 1.4) for t in main[:8:2]]
        tubes.paint(a.image, s, rings, 260, within=~trachea, lighter_only=True)


def draw_lung_vessels(a: Anatomy, body: Body) -> None:
    """Pulmonary arteries and veins from each hilum to near the pleura of every lobe."""
    lung = a.lung()
    for kind, iodine, many in (("arteries", body.contrast.veins, 200), ("veins", body.contrast.arteries, 140)):
        rng = body.stream(kind)
        for lobe in range(1, 6):
            side = -1 if lobe <= 2 else 1
            fork = _LOBE_FORKS[lobe]
            lower = -14 if kind == "veins" else 8
            root = np.array([side * rng.uniform(38, 46), -14.0 + rng.normal(0, 3), 0.5 * (fork[2] + 12) + lower])
            targets = scattered(a, rng, lobe, int(many * rng.uniform(0.8, 1.3)), margin=4.0)
            if len(targets):
                tree = tubes.grow_tree(rng, root, targets, rng.uniform(4.7, 6.2), 0.6)
                tubes.paint(a.image, a.space, tree, 38 + 0.9 * iodine, within=lung, lighter_only=True)


def scattered(a: Anatomy, rng: np.random.Generator, lobe: int, count: int, margin: float) -> Points:
    """Random points (n, 3) in body mm inside one lobe, further than `margin` mm from the chest wall."""
    side = -1 if lobe <= 2 else 1
    points = rng.uniform([0, -95, -150], [132, 95, 118], (count * 14, 3)) * [side, 1, 1]
    at = a.space.to_grid(points) / a.grid.spacing_mm + (np.array(a.grid.shape) - 1) / 2
    index = np.rint(at).astype(int)
    within = ((index >= 0) & (index < a.grid.shape)).all(1)
    points, index = points[within], index[within]
    x, y, z = index.T
    found: Points = points[(a.lobes[x, y, z] == lobe) & (a.depth[x, y, z] > margin)][:count]
    return found
