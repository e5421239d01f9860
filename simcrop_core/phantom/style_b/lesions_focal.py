"""Findings with a place in one lobe: nodules, masses, opacities, collapse and scars."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.curves import along
from simcrop_core.phantom.style_b.fields import metaballs, noise
from simcrop_core.phantom.style_b.finding import (
    GRADES,
    Finding,
    claim,
    largest_diameter_mm,
    lobe_of,
    mix,
    random_unit,
    side_of,
    site_in,
)
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Box, Float, Image, Mask, around_mask
from simcrop_core.phantom.truth import LOBES


def _lump(scene: Scene, rng: np.random.Generator, centre: Float, radius: float, lobes: int) -> tuple[Box, Image]:
    """A lobulated solid about a point: metaballs in a box, potential above 1 inside."""
    box = scene.grid.around(centre, radius * 1.9 + 3)
    centres = centre + np.array([random_unit(rng) * radius * rng.uniform(0.2, 0.55) for _ in range(lobes)])
    radii = radius * rng.uniform(0.5, 0.68, lobes)
    return box, metaballs(scene.grid, box, centres, radii)


def _edge(potential: Image, sharpness: float = 2.0) -> Image:
    soft = np.clip((np.sqrt(np.sqrt(potential)) - 1) * np.float32(sharpness * 2) + 0.5, 0, 1)
    return np.asarray(soft, dtype=np.float32)


def nodule(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """A nodule of 6 to 28 mm: solid, part-solid, calcified or cavitating."""
    lobe = lobe_of(rng)
    radius = float(np.exp(rng.uniform(np.log(3.4), np.log(12.0))))
    centre = site_in(scene, rng, lobe, radius + 2)
    if centre is None:
        return None
    form = str(rng.choice(["solid", "part-solid", "calcified", "cavitating"], p=[0.6, 0.15, 0.15, 0.1]))
    if radius < 7 and form in ("part-solid", "cavitating"):
        form = "solid"
    box, potential = _lump(scene, rng, centre, radius, 3)
    weight = _edge(potential) * (scene.lobes[box] == lobe)
    mask = weight > 0.5
    if mask.sum() < 4:
        return None
    hu = {"solid": rng.uniform(15, 60), "part-solid": -520.0, "calcified": rng.uniform(220, 600), "cavitating": 30.0}
    mix(scene, box, weight, hu[form])
    core = _edge(potential / 5.0) * weight
    if form in ("part-solid", "cavitating"):
        mix(scene, box, core, 25.0 if form == "part-solid" else -930.0)
    voxels = claim(scene, box, mask)
    size = min(largest_diameter_mm(scene, voxels), 29.0)
    return Finding("nodule", side_of(lobe), LOBES[lobe], voxels, form=form, size_mm=size)


def mass(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """A mass of more than 3 cm, lobulated or spiculated, sometimes with a necrotic core."""
    lobe = lobe_of(rng, (1, 2, 3, 5))
    radius = float(rng.uniform(17, 30))
    centre = site_in(scene, rng, lobe, radius, least=0.75)
    if centre is None:
        return None
    form = str(rng.choice(["spiculated", "lobulated", "necrotic"]))
    box, potential = _lump(scene, rng, centre, radius, 7)
    lung = (scene.lobes[box] == lobe) & ~scene.taken[box]
    weight = _edge(potential) * lung
    mask = weight > 0.5
    voxels = scene.grid.flat(box, mask)
    if voxels.size * np.prod(scene.grid.spacing_mm) < 8000 or largest_diameter_mm(scene, voxels) < 31:
        return None
    enhanced = 35 + (20 if scene.subject.contrast != "none" else 0)
    mix(scene, box, weight, enhanced + noise(scene.grid, box, 10.0, rng) * np.float32(8))
    if form == "necrotic":
        mix(scene, box, _edge(potential / 4.0) * weight, 8.0)
    if form == "spiculated":
        _spicules(scene, rng, centre, radius, lobe)
    claim(scene, box, mask)
    return Finding("mass", side_of(lobe), LOBES[lobe], voxels, form=form, size_mm=largest_diameter_mm(scene, voxels))


def _spicules(scene: Scene, rng: np.random.Generator, centre: Float, radius: float, lobe: int) -> None:
    tubes = []
    for _ in range(26):
        way = random_unit(rng)
        end = centre + way * radius * rng.uniform(1.2, 1.7)
        tubes.append(along([(*(centre + way * radius * 0.7), 1.4), (*end, 0.4)]))
    share = scene.cover(*tubes)
    share[scene.lobes != lobe] = 0
    scene.blend(share, -40.0)


def _patch(
    scene: Scene, rng: np.random.Generator, centre: Float, reach: float, lobe: int, rough: float
) -> tuple[Box, Image]:
    """A patch with a ragged edge: a random field thresholded lower towards its middle."""
    box = scene.grid.around(centre, reach * 1.5)
    x, y, z = scene.grid.offsets(box, centre)
    far = np.sqrt((x * x + y * y) / np.float32(reach**2) + z * z / np.float32((reach * 0.85) ** 2))
    field = 1 - far + np.float32(rough) * noise(scene.grid, box, max(reach * 0.9, 14.0), rng)
    weight = np.clip(field * 4 + 0.5, 0, 1).astype(np.float32)
    return box, weight * ((scene.lobes[box] == lobe) & ~scene.taken[box])


def ground_glass(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """One to three hazy patches in a lobe through which vessels stay visible."""
    lobe = lobe_of(rng)
    voxels, reach = [], 0.0
    lift = np.float32(rng.uniform(230, 380))
    for _ in range(int(rng.integers(1, 4))):
        reach = float(rng.uniform(13, 32))
        centre = site_in(scene, rng, lobe, reach * 0.6, least=0.6)
        if centre is None:
            continue
        box, weight = _patch(scene, rng, centre, reach, lobe, 0.35)
        mask = weight > 0.5
        here = scene.image[box]
        open_lung = np.clip((-350 - here) / 200, 0, 1)
        here += weight * lift * open_lung * (1 + 0.12 * noise(scene.grid, box, 6.0, rng))
        voxels.append(claim(scene, box, mask))
    joined = np.concatenate([np.zeros(0, dtype=np.int32), *voxels])
    if joined.size < 60:
        return None
    form = "patchy" if len(voxels) > 1 else "focal"
    grade = GRADES[int(np.searchsorted([280, 330], lift))]
    return Finding("ground-glass opacity", side_of(lobe), LOBES[lobe], joined, grade=grade, form=form)


def consolidation(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Airless lung with open bronchi in it."""
    lobe = lobe_of(rng)
    reach = float(rng.uniform(20, 42))
    centre = site_in(scene, rng, lobe, reach * 0.55, least=0.6)
    if centre is None:
        return None
    box, weight = _patch(scene, rng, centre, reach, lobe, 0.3)
    mask = weight > 0.5
    if mask.sum() < 100:
        return None
    density = rng.uniform(20, 45) + (25 if scene.subject.contrast != "none" else 0)
    mix(scene, box, weight, density + noise(scene.grid, box, 8.0, rng) * np.float32(7))
    near = np.linalg.norm(scene.airways.points_N3 - centre, axis=1) < reach * 1.3
    bronchi = np.column_stack([scene.airways.points_N3[near], np.maximum(scene.airways.radii_N[near], 1.1)])
    form = ""
    if near.any():
        share = scene.cover(bronchi)[box] * weight
        mix(scene, box, share, -880.0)
        form = "with air bronchograms" if (share > 0.4).sum() > 12 else ""
    grade = GRADES[int(np.searchsorted([26, 35], reach))]
    return Finding("consolidation", side_of(lobe), LOBES[lobe], claim(scene, box, mask), grade=grade, form=form)


def atelectasis(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """A plate of collapsed lung, or a collapsed rim along the back of a lower lobe."""
    if rng.random() < 0.5:
        return _rim(scene, rng)
    lobe = lobe_of(rng)
    reach = float(rng.uniform(20, 36))
    centre = site_in(scene, rng, lobe, 12.0, least=0.6)
    if centre is None:
        return None
    box = scene.grid.around(centre, reach * 1.1)
    x, y, z = scene.grid.offsets(box, centre)
    tilt = rng.normal(0, 0.25, 2)
    bend = rng.normal(0, 0.004)
    height = z - np.float32(tilt[0]) * x - np.float32(tilt[1]) * y - np.float32(bend) * x * x
    thick = rng.uniform(2.4, 4.5)
    extent = np.hypot(x, y * np.float32(rng.uniform(0.9, 1.6))) / np.float32(reach)
    soft = np.float32(scene.grid.spacing_mm[2])
    weight = np.clip((np.float32(thick) - np.abs(height)) / soft + 0.5, 0, 1) * np.clip((1 - extent) * 8, 0, 1)
    weight = (weight * ((scene.lobes[box] == lobe) & ~scene.taken[box])).astype(np.float32)
    mask = weight > 0.4
    if mask.sum() < 40:
        return None
    mix(scene, box, weight, rng.uniform(10, 50))
    return Finding("atelectasis", side_of(lobe), LOBES[lobe], claim(scene, box, mask), grade="mild", form="plate-like")


def _rim(scene: Scene, rng: np.random.Generator) -> Finding | None:
    lobe = int(rng.choice([2, 5]))
    mask: Mask = (scene.lobes == lobe) & ~scene.taken
    if mask.sum() < 2000:
        return None
    box = around_mask(mask)
    inside = mask[box]
    behind = np.argmax(inside, axis=1)
    depth = (np.arange(inside.shape[1])[None, :, None] - behind[:, None, :]) * scene.grid.spacing_mm[1]
    grade = int(rng.integers(3))
    ragged = (6 + 5 * grade) + 3.0 * noise(scene.grid, box, 25.0, rng)
    low = np.linspace(1.0, -0.6, inside.shape[2])[None, None, :]
    weight = np.clip((ragged * (0.35 + low) - depth) / 3, 0, 1).astype(np.float32) * inside
    rim = weight > 0.5
    if rim.sum() < 80:
        return None
    mix(scene, box, weight, rng.uniform(20, 55))
    return Finding(
        "atelectasis", side_of(lobe), LOBES[lobe], claim(scene, box, rim), grade=GRADES[grade], form="dependent"
    )


def fibrotic_band(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Strands of scar, straight or slightly bent, that fan out from a point."""
    lobe = lobe_of(rng)
    centre = site_in(scene, rng, lobe, 12.0, least=0.65)
    if centre is None:
        return None
    tubes = []
    plane = random_unit(rng)
    for _ in range(int(rng.integers(2, 5))):
        way = random_unit(rng)
        way -= plane * (way @ plane) * 0.7
        length = rng.uniform(14, 30)
        radius = rng.uniform(1.3, 2.3)
        a, b = centre - way * length, centre + way * length
        tubes.append(along([(*a, radius * 0.7), (*(centre + rng.normal(0, 2.5, 3)), radius), (*b, radius * 0.6)]))
    share = scene.cover(*tubes)
    share[(scene.lobes != lobe) | scene.taken] = 0
    mask = share > 0.35
    if mask.sum() < 20:
        return None
    scene.blend(share, rng.uniform(-60, 50))
    voxels = claim(scene, scene.grid.everywhere, mask)
    return Finding("fibrotic band", side_of(lobe), LOBES[lobe], voxels, grade="mild", form="")
