"""One healthy person on a grid: the body's parts drawn in the order in which they hide one another."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a.abdomen import draw_abdomen
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.chest_wall import draw_wall
from simcrop_core.phantom.style_a.lungs import draw_airways, draw_lung_vessels, draw_lungs
from simcrop_core.phantom.style_a.mediastinum import draw_mediastinum
from simcrop_core.phantom.style_a.scaffold import Scaffold
from simcrop_core.phantom.style_a.skeleton import draw_skeleton
from simcrop_core.phantom.style_a.space import PLAN, Grid, body_space, smooth_noise


def draw_anatomy(body: Body, grid: Grid, scaffold: Scaffold) -> Anatomy:
    """Draw a person on a grid, HU before scanner effects.

    Args:
        body: who.
        grid: where; on `PLAN` the lungs' vessels are left out.
        scaffold: the body's surfaces on `PLAN`.
    """
    space = body_space(grid, body.matrix, body.offset, body.warp)
    here = scaffold.on(grid)
    image = np.full(grid.shape, -1000, np.float32)
    labels, lobes = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    a = Anatomy(space, image, labels, lobes, here.depth, here.above)
    a.iodine = body.contrast.arteries
    texture = smooth_noise(body.stream("texture"), 96, grid)
    draw_wall(a, body, here, texture)
    draw_skeleton(a, body, texture)
    draw_lungs(a, body, here, texture)
    draw_abdomen(a, body, texture)
    draw_mediastinum(a, body, texture)
    draw_airways(a, body)
    if grid != PLAN:
        draw_lung_vessels(a, body)
    return a
