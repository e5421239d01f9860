"""The body's outside: skin, fat, muscles, breasts, arms, and the table under it."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import Body
from simcrop_core.phantom.style_a.scaffold import Scaffold
from simcrop_core.phantom.style_a.space import Field, Mask
from simcrop_core.phantom.style_a.tubes import polyline


def draw_wall(a: Anatomy, body: Body, scaffold: Scaffold, texture: Field) -> None:
    """Fat and muscle around the rib cage, the skin over them, arms and table."""
    rng = body.stream("wall")
    skin = scaffold.skin
    trunk = skin > 0
    a.regions["body"] = trunk
    if a.sketch:
        return
    shell = -scaffold.depth + 1.2 * texture
    fat = rng.uniform(-112, -96)
    np.copyto(a.image, fat + 8 * texture, where=trunk)
    strands = trunk & (texture > 1.9)
    a.image[strands] += 45
    lean = trunk & (shell < scaffold.muscle) & (skin > 2)
    np.copyto(a.image, rng.uniform(42, 60) - 16 * (1 - body.muscle) + 9 * texture, where=lean)
    at = np.flatnonzero(lean)
    deep, side = shell.ravel()[at], (a.space.y.ravel()[at] > -60) | (np.abs(a.space.x.ravel()[at]) > 75)
    planes = ((np.abs(deep - 11) < 1.1) | (np.abs(deep - 23) < 1.4)) & side & (texture.ravel()[at] > -0.7)
    a.image.ravel()[at[planes]] = -55
    _breasts(a, body, scaffold, texture, rng)
    _arms(a, body)
    a.image[trunk & (skin < 2.2)] = 5
    _table(a, rng, trunk)


def _breasts(a: Anatomy, body: Body, scaffold: Scaffold, texture: Field, rng: np.random.Generator) -> None:
    """Glandular tissue in a woman's breasts, less of it with age; behind the nipple in a man."""
    share = float(np.clip(1.5 - body.age / 60 + rng.normal(0, 0.3), 0.1, 1.2)) if body.sex == "F" else 0.12
    for side in (-1, 1):
        low, high = np.array([side * 72 - 40, 60, -60]), np.array([side * 72 + 40, 180, 30])
        box = a.space.box(low, high)
        x, z = a.space.x[box] - side * 72, a.space.z[box] + 16
        shell = -scaffold.depth[box] - 26 * body.muscle
        gland = (x / 34) ** 2 + (z / 32) ** 2 < share
        gland &= (shell > 0) & (scaffold.skin[box] > 6) & (a.space.y[box] > 50) & (texture[box] + share > 0.4)
        np.copyto(a.image[box], 25 + 14 * texture[box], where=gland)


def _arms(a: Anatomy, body: Body) -> None:
    """Muscle and humerus of each upper arm, and the shoulder's."""
    for side in (-1, 1):
        down = body.arms_down
        joint = [side * (172 if down else 150), -14, 108 if down else 122]
        elbow = [side * 205, -20, -160] if down else [side * 165, 5, 290]
        tubes.paint(a.image, a.space, polyline([joint, elbow], 31 * body.muscle), 52, within=a.regions["body"])
        tubes.paint(a.image, a.space, polyline([joint, elbow], 10.5), body.cortex * 1.4)
        tubes.paint(a.image, a.space, polyline([joint, elbow], 6), -40)
        head = [joint[0] - side * 6, joint[1], joint[2]]
        tubes.paint(a.image, a.space, polyline([head, [head[0], head[1], head[2] + 4]], 22), body.cortex * 0.9)
        tubes.paint(a.image, a.space, polyline([head, [head[0], head[1], head[2] + 4]], 19.5), body.marrow * 1.25)


def _table(a: Anatomy, rng: np.random.Generator, trunk: Mask) -> None:
    """A curved table top of carbon fibre on foam, with a mattress; now and then none in the field of view."""
    if rng.random() > 0.9:
        return
    back = -float(rng.uniform(126, 134)) - 0.9 * float(
        np.quantile(-a.space.y[::4, ::4, ::4][trunk[::4, ::4, ::4]], 0.999) - 110
    )
    box = a.space.box([-230, -260, -330], [230, back + 60, 330])
    level = a.space.y[box] - back - (a.space.x[box] / 220) ** 2 * rng.uniform(5, 50)
    image, outside = a.image[box], ~trunk[box]
    image[(np.abs(level) < 1.8) & outside] = rng.uniform(-250, 120)
    image[(level < -1.8) & (level > -rng.uniform(18, 42)) & outside] = rng.uniform(-960, -880)
    image[(level >= 1.8) & (level < rng.uniform(3, 14)) & outside] = rng.uniform(-990, -930)
