"""Bronchi, arteries and veins within the lungs, grown towards random points of every lobe."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.curves import Tree, grow_tree
from simcrop_core.phantom.style_b.mediastinum import HILA
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Float, stream

_LITRES_PER_TIP = 0.0013


def draw_trees(scene: Scene) -> None:
    """Grow arteries with their bronchi, and veins; draw them within the lobes."""
    rng = stream(scene.seed, "trees")
    flat = np.flatnonzero(scene.lobes)
    litres = len(flat) * float(np.prod(scene.grid.spacing_mm)) / 1e6
    arteries = _tree(scene, rng, flat, int(litres / _LITRES_PER_TIP), np.zeros(3), 0.62)
    veins = _tree(scene, rng, flat, int(litres / _LITRES_PER_TIP * 0.6), np.array([0, 8.0, -6.0]), 0.6)
    blood = scene.subject.blood
    _draw(scene, veins, blood.left_heart)
    _draw(scene, arteries, blood.pulmonary)
    scene.airways = _bronchi(arteries)
    wall = np.maximum(0.75, scene.airways.radii_N * 0.3)
    _draw_tubes(scene, scene.airways.points_N3, scene.airways.radii_N + wall, -150.0)
    _draw_tubes(scene, scene.airways.points_N3, scene.airways.radii_N, -970.0)


def _tree(
    scene: Scene,
    rng: np.random.Generator,
    flat: np.ndarray[tuple[int], np.dtype[np.int64]],
    tips: int,
    offset: Float,
    tip_mm: float,
) -> Tree:
    chosen = rng.choice(flat, min(tips, len(flat)), replace=False)
    crown = scene.lobes.reshape(-1)[chosen].astype(np.int64) - 1
    roots = scene.subject.place(HILA + offset)
    return grow_tree(roots, scene.grid.points(chosen), crown, tip_mm=tip_mm, rng=rng)


def _draw(scene: Scene, tree: Tree, hu: float) -> None:
    _draw_tubes(scene, tree.points_N3, tree.radii_N, hu)


def _draw_tubes(scene: Scene, points_N3: Float, radii_N: Float, hu: float) -> None:
    share = scene.cover(np.concatenate([points_N3, radii_N[:, None]], axis=1))
    share[scene.lobes == 0] = 0
    scene.blend(share, hu)


def _bronchi(arteries: Tree) -> Tree:
    """Beside every larger artery runs a bronchus of about its calibre."""
    chosen = (arteries.radii_N > 1.35) & (arteries.generation_N < 6)
    directions = arteries.directions_N3[chosen]
    aside = np.cross(directions, np.array([0.35, 0.9, 0.25]))
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-6)
    radii = arteries.radii_N[chosen]
    return Tree(
        arteries.points_N3[chosen] + aside * (radii * 1.95 + 0.8)[:, None],
        directions,
        radii * 0.8,
        arteries.crowns_N[chosen],
        arteries.generation_N[chosen],
    )
