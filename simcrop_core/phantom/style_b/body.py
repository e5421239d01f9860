"""A whole person without findings, but for those that change an organ's shape."""

from __future__ import annotations

from simcrop_core.phantom.style_b.abdomen import draw_abdomen
from simcrop_core.phantom.style_b.lung_trees import draw_trees
from simcrop_core.phantom.style_b.lungs import draw_lungs
from simcrop_core.phantom.style_b.mediastinum import draw_mediastinum
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.skeleton import draw_skeleton
from simcrop_core.phantom.style_b.space import Grid, stream
from simcrop_core.phantom.style_b.subject import meet
from simcrop_core.phantom.style_b.wall import cage_outline, draw_wall


def draw_body(grid: Grid, seed: int, kinds: frozenset[str]) -> Scene:
    """Draw the anatomy of a seed.

    Args:
        grid: the voxels.
        seed: the phantom's.
        kinds: findings to come; "cardiomegaly" and "pericardial effusion" shape the heart and its sac.
    """
    scene = Scene.empty(grid, meet(seed, large_heart="cardiomegaly" in kinds), seed)
    fluid = float(stream(seed, "pericardium").uniform(5, 14)) if "pericardial effusion" in kinds else 0.0
    cage_outline(scene)
    draw_wall(scene)
    draw_lungs(scene, fluid)
    draw_abdomen(scene)
    draw_mediastinum(scene)
    draw_skeleton(scene)
    draw_trees(scene)
    return scene
