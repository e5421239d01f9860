"""Fluid and air between lung and chest wall, for a patient on their back."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.finding import GRADES, Finding, claim
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Box, Image, Mask, around_mask


def _lung_box(scene: Scene, side: str) -> tuple[Box, Mask]:
    mask = scene.labels == (1 if side == "left" else 2)
    box = around_mask(mask)
    return box, mask[box]


def _levels(scene: Scene, box: Box, depth_mm: float) -> Image:
    """How far, in mm, every voxel lies behind a plane that many mm in front of the rear of the lung at its base."""
    y = scene.grid.axis(1)[box[1]]
    z = scene.grid.axis(2)[box[2]]
    rear = float(y[0])
    height = np.clip((z[-1] - z) / max(z[-1] - z[0], 1.0), 0, 1)
    surface = rear + depth_mm * np.clip(height * 1.9, 0, 1)
    return np.asarray(surface[None, None, :] - y[None, :, None], dtype=np.float32)


def _empty(scene: Scene, box: Box, mask: Mask) -> None:
    scene.labels[box][mask] = 0
    scene.lobes[box][mask] = 0


def pleural_effusion(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Fluid behind the lung, deeper towards the base, its surface rising along the chest wall."""
    side = str(rng.choice(["left", "right"]))
    box, inside = _lung_box(scene, side)
    if not inside.size:
        return None
    grade = int(rng.integers(3))
    depth = float(rng.uniform((14, 32, 55)[grade], (26, 48, 85)[grade]))
    x = scene.grid.axis(0)[box[0]]
    rise = ((x - x.mean()) / (np.ptp(x) / 2)) ** 2 * 7
    below = _levels(scene, box, depth) + rise[:, None, None].astype(np.float32)
    fluid = inside & (below > 0)
    if fluid.sum() * np.prod(scene.grid.spacing_mm) < 15000:
        return None
    pressed = inside & ~fluid & (below > -9)
    scene.image[box][pressed] += np.float32(rng.uniform(250, 520))
    scene.image[box][fluid] = rng.uniform(2, 22)
    _empty(scene, box, fluid)
    return Finding("pleural effusion", side, "", claim(scene, box, fluid), grade=GRADES[grade])


def pneumothorax(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Air in front of and above the lung; the visceral pleura is a thin line."""
    side = str(rng.choice(["left", "right"]))
    box, inside = _lung_box(scene, side)
    if not inside.size:
        return None
    grade = int(rng.integers(3))
    depth = float(rng.uniform((12, 24, 40)[grade], (20, 36, 58)[grade]))
    y = scene.grid.axis(1)[box[1]]
    z = scene.grid.axis(2)[box[2]]
    front = np.where(inside.any(axis=(0,)), y[:, None], -np.inf).max(axis=0)
    height = np.clip((z - z[0]) / max(np.ptp(z), 1.0), 0, 1)
    edge = front - depth * (0.45 + 0.75 * height)
    x = scene.grid.axis(0)[box[0]]
    bow = 0.0022 * (x - x.mean()) ** 2
    above = y[None, :, None] - edge[None, None, :] + bow[:, None, None]
    apex = depth * 0.9 - (z[-1] - z)
    above = np.maximum(above, apex[None, None, :])
    air = inside & (above > 0)
    if air.sum() * np.prod(scene.grid.spacing_mm) < 12000:
        return None
    scene.image[box][inside & ~air & (above > -2.0)] = -420
    scene.image[box][air] = -1000
    _empty(scene, box, air)
    return Finding("pneumothorax", side, "", claim(scene, box, air), grade=GRADES[grade])
