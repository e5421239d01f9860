"""Findings of lung texture and of the bronchi, in a lobe or in both lungs."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.fields import cell_walls, noise
from simcrop_core.phantom.style_b.finding import GRADES, LOWER, UPPER, Finding, claim, lobe_of, side_of, site_in
from simcrop_core.phantom.style_b.lungs import lung_mask
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Mask
from simcrop_core.phantom.truth import LOBES


def emphysema(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Holes without walls in the upper lobes, in one lobe or both."""
    lobes = UPPER if rng.random() < 0.6 else (lobe_of(rng, (1, 2, 3, 5)),)
    grade = int(rng.integers(3))
    where = np.isin(scene.lobes, lobes) & ~scene.taken
    field = noise(scene.grid, scene.grid.everywhere, rng.uniform(9, 15), rng)
    weight = np.clip((field - np.float32(1.15 - 0.45 * grade)) * 3, 0, 1) * where
    weight *= scene.image < -600
    holes = weight > 0.4
    if holes.sum() < 150:
        return None
    scene.image += weight * (np.float32(-985) - scene.image)
    voxels = scene.grid.flat(scene.grid.everywhere, holes)
    if len(lobes) == 2:
        return Finding("emphysema", "", "", voxels, grade=GRADES[grade], site="both upper lobes")
    return Finding("emphysema", side_of(lobes[0]), LOBES[lobes[0]], voxels, grade=GRADES[grade])


def mosaic(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Dark and bright fields side by side in both lungs."""
    where = lung_mask(scene) & ~scene.taken
    field = noise(scene.grid, scene.grid.everywhere, rng.uniform(34, 55), rng)
    grade = int(rng.integers(3))
    lift = np.tanh(field * 3.5) * np.float32(55 + 25 * grade)
    scene.image += np.where(where & (scene.image < -550), lift, np.float32(0))
    return Finding("mosaic attenuation", "", "", scene.grid.flat(scene.grid.everywhere, where), grade=GRADES[grade])


def septal_thickening(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """A net of thickened septa between the lobules of a zone."""
    lobe = lobe_of(rng, (1, 2, 3, 5))
    reach = float(rng.uniform(32, 46))
    centre = site_in(scene, rng, lobe, reach * 0.5, least=0.6)
    if centre is None:
        return None
    box = scene.grid.around(centre, reach)
    x, y, z = scene.grid.offsets(box, centre)
    zone: Mask = (scene.lobes[box] == lobe) & ~scene.taken[box] & (x * x + y * y + z * z < reach**2)
    if zone.sum() < 300:
        return None
    voxels = claim(scene, box, zone)
    far = cell_walls(scene.grid.points(voxels), rng.uniform(14, 19), rng)
    share = np.clip((rng.uniform(0.7, 1.2) - far) / scene.grid.spacing_mm[0] + 0.5, 0, 1).astype(np.float32)
    grade = int(rng.integers(3))
    flat = scene.image.reshape(-1)
    flat[voxels] += share * np.float32(330 + 130 * grade) * np.clip((-200 - flat[voxels]) / 300, 0, 1)
    return Finding("septal thickening", side_of(lobe), LOBES[lobe], voxels, grade=GRADES[grade])


def peribronchial_thickening(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Bronchial walls two to three times as thick as they should be."""
    return _bronchi(scene, rng, "peribronchial thickening", wide=1.0, wall_mm=rng.uniform(1.8, 2.8))


def bronchiectasis(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Bronchi wider than the artery beside them."""
    return _bronchi(scene, rng, "bronchiectasis", wide=rng.uniform(1.9, 2.8), wall_mm=rng.uniform(1.0, 1.6))


def _bronchi(scene: Scene, rng: np.random.Generator, kind: str, *, wide: float, wall_mm: float) -> Finding | None:
    both = rng.random() < 0.3
    lobes = LOWER if both else (lobe_of(rng),)
    tree = scene.airways
    chosen = np.isin(tree.crowns_N + 1, lobes) & (tree.generation_N >= 1)
    if not chosen.any():
        return None
    inner = np.minimum(np.maximum(tree.radii_N[chosen], 1.0) * wide, np.maximum(tree.radii_N[chosen], 6.5))
    points = tree.points_N3[chosen]
    outer = scene.cover(np.column_stack([points, inner + wall_mm]))
    outer[~np.isin(scene.lobes, lobes) | scene.taken] = 0
    mask = outer > 0.45
    if mask.sum() < 40:
        return None
    scene.blend(outer, rng.uniform(-30, 30))
    lumen = scene.cover(np.column_stack([points, inner]))
    lumen[outer == 0] = 0
    scene.blend(lumen, -960.0)
    voxels = claim(scene, scene.grid.everywhere, mask)
    grade = GRADES[int(rng.integers(3))]
    if both:
        return Finding(kind, "", "", voxels, grade=grade, site="both lower lobes")
    return Finding(kind, side_of(lobes[0]), LOBES[lobes[0]], voxels, grade=grade)
