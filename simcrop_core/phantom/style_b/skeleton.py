"""Spine, ribs, sternum, clavicles, scapulae and upper arms."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.contours import Region, fill, grown, ovals
from simcrop_core.phantom.style_b.curves import along
from simcrop_core.phantom.style_b.fields import noise
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Float, stream
from simcrop_core.phantom.truth import LABELS

_SPINE = [
    (230, 0, -52, 14, 14, 12, 13, 0.85),
    (120, 0, -56, 15, 15, 13, 13, 0.85),
    (0, 0, -56, 17.5, 17.5, 17, 15, 0.85),
    (-120, 0, -54, 20, 20, 19, 16, 0.85),
    (-230, 0, -50, 23, 23, 20, 17, 0.85),
]
_T1_MM, _PITCH_MM = 128.0, 22.5


def draw_skeleton(scene: Scene) -> None:
    """Draw all bones and label the spine."""
    rng = stream(scene.seed, "bones")
    pitch = _PITCH_MM * scene.subject.stretch[2]
    first = float(scene.subject.place(np.array([0.0, 0.0, _T1_MM]))[2])
    _spine(scene, rng, first, pitch)
    _ribs(scene, rng, first, pitch)
    _sternum(scene)
    _shoulders(scene)


def _spine(scene: Scene, rng: np.random.Generator, first: float, pitch: float) -> None:
    strength = scene.subject.bone
    z = scene.grid.axis(2)
    phase = np.abs(((z - first) / pitch + 0.5) % 1 - 0.5)  # 0 in the middle of a vertebra, 0.5 within a disc
    outline = scene.outline(ovals(_SPINE))
    back = outline.mean(axis=1)
    waist = np.where(phase < 0.38, -2.0 * (1 - phase / 0.38), -0.5)
    body = fill(scene.grid, outline + waist[:, None, None] * (grown(outline, 1.0) - outline))
    ends = np.where(phase > 0.39, 85.0, np.where(phase > 0.32, 480 * strength, 330 * strength))[body.box[2]]
    scene.paint(body, ends.astype(np.float32)[None, None, :], LABELS.index("spine"))
    core = fill(scene.grid, outline + (waist - 2.2)[:, None, None] * (grown(outline, 1.0) - outline))
    trabeculae = 165 * strength + noise(scene.grid, core.box, 5.0, rng) * 22
    trabeculae = np.where(
        phase[core.box[2]] > 0.39, 80.0, np.where(phase[core.box[2]] > 0.32, 420 * strength, trabeculae)
    )
    scene.paint(core, trabeculae.astype(np.float32))
    arch = ovals([(zz, x, y - 23, 14, 14, 12, 14, 1.0) for zz, x, y, *_ in _SPINE])
    ring = scene.region(arch)
    bony = np.where(phase < 0.3, 420 * strength, 60.0)[ring.box[2]]
    scene.paint(ring, bony.astype(np.float32)[None, None, :], LABELS.index("spine"))
    scene.paint(scene.region(ovals([(zz, x, y - 22, 8.5, 8.5, 8, 8, 1.0) for zz, x, y, *_ in _SPINE])), 28.0)
    tubes = []
    for level in np.arange(first - 12 * pitch, first + 5 * pitch, pitch):
        at = int(np.clip(np.round(scene.grid.to_index(np.array([0, 0, level]))[2]), 0, len(z) - 1))
        x, y = back[at] if np.isfinite(back[at, 0]) else (0.0, -56.0)
        tubes.append(along([(x, y - 34, level - 2, 3.4), (x, y - 46, level - 11, 3.0), (x, y - 58, level - 17, 3.6)]))
        tubes += [along([(x + s * 12, y - 24, level, 4.0), (x + s * 32, y - 36, level + 2, 3.6)]) for s in (-1, 1)]
    filled = scene.blend(scene.cover(*tubes, flat_z=1.4), 380 * strength)
    scene.labels.reshape(-1)[filled] = LABELS.index("spine")
    scene.lobes.reshape(-1)[filled] = 0
    for region in (body, ring):
        scene.lobes[region.box][region.mask] = 0


def _ribs(scene: Scene, rng: np.random.Generator, first: float, pitch: float) -> None:
    """Each rib runs round the chest wall, falling towards the front, and ends in cartilage."""
    around = grown(scene.cage, 6.0)
    z_axis = scene.grid.axis(2)
    turns = np.arange(around.shape[1]) / around.shape[1] * 2 * np.pi
    hard, soft, marrow = [], [], []
    for k in range(12):
        fall = (30 + 8 * min(k, 7) + rng.normal(0, 2)) * scene.subject.stretch[2]
        reach = np.radians([62, 62, 60, 58, 56, 54, 50, 44, 34, 20, -5, -30][k])
        for side in (-1, 1):
            angle = np.linspace(-np.pi / 2 + 0.2, reach, 150)
            height = first - k * pitch - fall * ((angle + np.pi / 2) / 2.6) ** 0.95
            turned = angle if side > 0 else np.pi - angle
            slice_of = np.clip(np.searchsorted(z_axis, height), 0, len(z_axis) - 1)
            corner = np.searchsorted(turns, turned % (2 * np.pi)) % len(turns)
            xy = around[slice_of, corner]
            known = np.isfinite(xy[:, 0])
            if known.sum() < 20:
                continue
            radius = np.full(known.sum(), 4.3 if k else 3.6)
            path = _smooth(np.column_stack([xy[known], height[known], radius]))
            cut = int(len(path) * (0.86 if k < 10 else 1.0))
            hard.append(path[:cut])
            marrow.append(path[:cut] - np.array([0, 0, 0, 1.9]))
            soft.append(path[cut:])
    strength = scene.subject.bone
    calcified = max(0.0, (scene.subject.person.age - 45) * 3.0)
    _over_wall(scene, scene.cover(*soft, flat_z=1.4), 95 + calcified)
    _over_wall(scene, scene.cover(*hard, flat_z=1.5), 620 * strength)
    _over_wall(scene, scene.cover(*marrow, flat_z=1.5), 190 * strength)


def _over_wall(scene: Scene, share: np.ndarray[tuple[int, ...], np.dtype[np.float32]], hu: float) -> None:
    share[(scene.labels == 1) | (scene.labels == 2)] = 0
    scene.blend(share, hu)


def _smooth(path_N4: Float) -> Float:
    kernel = np.ones(9) / 9
    padded = np.pad(path_N4, ((4, 4), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, k], kernel, "valid") for k in range(4)], axis=-1)


def _sternum(scene: Scene) -> None:
    strength = scene.subject.bone
    shape = ovals(
        [
            (98, 0, 48, 22, 22, 6, 6, 0.8),
            (76, 0, 62, 28, 28, 6, 6, 0.8),
            (58, 0, 72, 15, 15, 5.5, 5.5, 0.8),
            (10, 0, 87, 18, 18, 5.5, 5.5, 0.8),
            (-38, 0, 94, 14, 14, 5, 5, 0.8),
            (-66, 0, 96, 5, 5, 3, 3, 1.0),
        ]
    )
    outline = scene.outline(shape)
    for margin, hu in ((0.0, 480 * strength), (-1.8, 150 * strength)):
        region = fill(scene.grid, grown(outline, margin))
        outside = ~((scene.labels[region.box] == 1) | (scene.labels[region.box] == 2))
        scene.paint(Region(region.box, region.mask & outside), hu)


def _shoulders(scene: Scene) -> None:
    strength, up = scene.subject.bone, scene.subject.arms_up
    tubes: list[Float] = []
    for side in (-1, 1):
        lift = 26.0 if up else 0.0
        clavicle = [
            (24, 52, 92, 7.0),
            (60, 48, 104 + lift / 3, 5.5),
            (100, 24, 118 + lift, 5.5),
            (136, 2, 124 + lift, 6),
        ]
        arm = [(150, -16, 112 + lift, 21.0), (156, -16, 96 + lift, 13), (166, -14, 60 + lift, 11), (172, -12, -40, 11)]
        if up:
            arm = [(146, -20, 136, 21.0), (158, -14, 156, 14), (160, -8, 230, 11)]
        spine = [(84, -96, 84, 4.0), (112, -88, 100 + lift / 2, 5.5), (140, -50, 118 + lift, 6)]
        for bone in (clavicle, arm, spine):
            rows = np.array([(side * x, y, z, r) for x, y, z, r in bone])
            tubes.append(along(np.concatenate([scene.subject.place(rows[:, :3]), rows[:, 3:]], axis=1)))
        _blade(scene, side, 12.0 if up else 0.0)
    share = scene.cover(*(t + np.array([0, 0, 0, 22.0 if t[:, 3].max() > 9 else 11.0]) for t in tubes))
    share[scene.image > -400] = 0
    scene.blend(share, 30)
    _over_wall(scene, scene.cover(*tubes), 560 * strength)
    _over_wall(
        scene, scene.cover(*(t - np.array([0, 0, 0, 2.2]) for t in tubes if t[:, 3].min() > 2.5)), 200 * strength
    )


def _blade(scene: Scene, side: int, lift: float) -> None:
    """A thin sheet bent round the back of the chest wall."""
    turns = np.arange(scene.cage.shape[1]) / scene.cage.shape[1] * 2 * np.pi
    inner, outer = grown(scene.cage, 15.0), grown(scene.cage, 19.5)
    z = scene.grid.axis(2) / scene.subject.stretch[2] - lift
    ribbon = np.full((len(z), 48, 2), np.nan)
    for k in np.flatnonzero((z > -8) & (z < 112)):
        share = (z[k] + 8) / 120
        start, end = -0.95 - 0.12 * share, -0.86 + 0.62 * min(share * 1.2, 1.0)
        angle = np.linspace(start, end, 24)
        corner = np.searchsorted(turns, (angle if side > 0 else np.pi - angle) % (2 * np.pi)) % len(turns)
        ribbon[k] = np.concatenate([outer[k, corner], inner[k, corner[::-1]]])
    _fill_bone(scene, ribbon)


def _fill_bone(scene: Scene, ribbon: Float) -> None:
    region = fill(scene.grid, ribbon)
    scene.paint(region, 430 * scene.subject.bone)
