"""Draws what lies outside the lungs' tissue: pleura, lymph nodes, heart, vessels, hernia, devices."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a import tubes
from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.choose import quantile
from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.space import Mask, Points, ellipsoid, smooth_noise
from simcrop_core.phantom.style_a.tubes import Tube, polyline


def draw_effusion(a: Anatomy, f: Finding) -> Mask:
    """Fluid of the pleural space: free, encapsulated at the chest wall, or below the lung."""
    rng = f.stream()
    lung = a.labels == (1 if f.side == "left" else 2)
    fluid = {"loculated": _loculated, "subpulmonic": _subpulmonic}.get(f.looks, _free)(a, f, lung, rng)
    np.copyto(a.image, rng.uniform(2, 22) + 3 * smooth_noise(rng, 60, a.grid), where=fluid)
    a.take(fluid)
    return fluid


def _free(a: Anatomy, f: Finding, lung: Mask, rng: np.random.Generator) -> Mask:
    """Behind and below the lung, its upper edge a meniscus, the lung beside it a little collapsed."""
    low, high = {"small": (7, 16), "moderate": (22, 38)}.get(f.severity, (48, 75))
    level = quantile(a.space.y, lung, 0.01) + np.float32(rng.uniform(low, high))
    fill = a.space.y + 0.28 * np.maximum(a.above, 0) - 0.5 * np.clip(18 - a.depth, 0, 18)
    fluid: Mask = lung & (fill < level)
    squeezed = lung & ~fluid & (fill < level + (5 if f.severity == "small" else 14))
    a.image[squeezed] = 0.4 * a.image[squeezed] + 10
    return fluid


def _loculated(a: Anatomy, f: Finding, lung: Mask, rng: np.random.Generator) -> Mask:
    """A lens of fluid on the chest wall, behind or beside the lung, wherever it was caught."""
    low, high = {"small": (9, 14), "moderate": (15, 22)}.get(f.severity, (23, 34))
    thick, wide = rng.uniform(low, high), rng.uniform(2.0, 3.2)
    x = np.float32(rng.uniform(45, 110) * (-1 if f.side == "left" else 1))
    z = quantile(a.space.z, lung, float(rng.uniform(0.15, 0.7)))
    away = np.hypot((a.space.x - x) / np.float32(thick * wide), (a.space.z - z) / np.float32(thick * wide))
    lens = np.float32(thick) * np.clip(1 - away * away, 0, None)
    behind: Mask = lung & (a.depth < lens) & (a.space.y < quantile(a.space.y, lung, 0.6))
    return behind


def _subpulmonic(a: Anatomy, f: Finding, lung: Mask, rng: np.random.Generator) -> Mask:
    """Between the lung's base and the diaphragm, thickest over the dome's back."""
    low, high = {"small": (8, 14), "moderate": (15, 24)}.get(f.severity, (25, 40))
    level = np.float32(rng.uniform(low, high)) - 0.12 * np.clip(a.space.y, -60, 60)
    base: Mask = lung & (a.above < level)
    return base


def draw_pneumothorax(a: Anatomy, f: Finding) -> Mask:
    """Air in front of a lung and over its apex, the visceral pleura a thin line."""
    rng = f.stream()
    lung = a.labels == (1 if f.side == "left" else 2)
    low, high = {"small": (9, 15), "moderate": (20, 32)}.get(f.severity, (40, 60))
    level = quantile(a.space.y, lung, 0.99) - np.float32(rng.uniform(low, high))
    rise = a.space.y + 0.8 * np.clip(12 - a.depth, 0, 12)
    near = np.float32(40 if f.severity != "large" else 60)
    air: Mask = lung & (rise > level) & (a.depth < near)
    edge = lung & ~air & (rise > level - 1.8) & (a.depth < near + 1)
    a.image[air] = -998
    a.image[edge] += 300
    return air


def draw_lymphadenopathy(a: Anatomy, f: Finding) -> Mask:
    """Enlarged nodes at one station of the mediastinum or a hilum."""
    rng = f.stream()
    mask = ellipsoid(a.space, f.centre, f.reach * rng.uniform(0.8, 1.15, 3))
    for _ in range(int(rng.integers(1, 4)) if f.several else 0):
        mask |= ellipsoid(a.space, np.array(f.centre) + rng.normal(0, 7, 3), f.reach * rng.uniform(0.5, 0.9, 3))
    mask &= ~np.isin(a.labels, (3, 4, 5, 8)) & a.regions["body"]
    np.copyto(a.image, rng.uniform(32, 58) + 0.15 * a.iodine + 5 * smooth_noise(rng, 70, a.grid), where=mask)
    a.take(mask)
    return mask


def draw_pericardial_effusion(a: Anatomy, f: Finding) -> Mask:
    """Fluid around the heart."""
    rng = f.stream()
    heart = a.labels == 4
    mask = a.regions["pericardium"] & ~np.isin(a.labels, (3, 4, 5, 8)) & (a.above > 0) & (a.depth > 2)
    mask &= a.space.z < quantile(a.space.z, heart, 0.93)
    if f.severity == "small":
        mask &= (a.space.y < quantile(a.space.y, heart, 0.4)) | (a.space.z < quantile(a.space.z, heart, 0.25))
    a.image[mask] = np.float32(rng.uniform(3, 24))
    a.take(mask)
    return mask


def draw_cardiomegaly(a: Anatomy, _f: Finding) -> Mask:
    """The heart was drawn large with the body; its voxels."""
    heart: Mask = a.labels == 4
    return heart


def draw_aortic_calcification(a: Anatomy, f: Finding) -> Mask:
    """Plaques in the wall of the aorta."""
    few, many = {"mild": (3, 7), "moderate": (9, 15)}.get(f.severity, (18, 28))
    return _plaques(a, f, ("aortic arch", "descending aorta", "ascending aorta"), few, many)


def draw_coronary_calcification(a: Anatomy, f: Finding) -> Mask:
    """Plaques along the coronary arteries, on the heart's upper front surface and to its sides."""
    rng = f.stream()
    shell = (a.labels == 4) & (a.regions["pericardium"])
    mask = np.zeros(a.grid.shape, dtype=bool)
    size = float(np.cbrt(np.count_nonzero(shell) * a.grid.voxel_mm3 / 5.2e5)) if shell.any() else 1.0
    x, y, z = (quantile(v, shell, 0.5) for v in (a.space.x, a.space.y, a.space.z))
    courses = (
        polyline([[x + 14, y + 6, z + 40 * size], [x - 8, y + 28, z + 34 * size], [x - 22, y + 38, z + 14]], 1.0),
        polyline([[x + 8, y, z + 38 * size], [x - 34 * size, y - 10, z + 26 * size]], 1.0),
        polyline([[x + 24, y + 18, z + 32 * size], [x + 40 * size, y + 22, z + 6]], 1.0),
    )
    count = {"mild": (1, 2), "moderate": (2, 3)}.get(f.severity, (3, 3))[1]
    for course in courses[:count]:
        pieces = [t for t in course if rng.random() < 0.75] or course[:2]
        spots = [Tube(t.start, t.end, r, r) for t in pieces for r in [rng.uniform(1.5, 2.6)]]
        hu = float(rng.uniform(380, 1100))
        tubes.paint(a.image, a.space, spots, hu, within=a.regions["body"] & ~a.lung(), lighter_only=True)
        mask |= tubes.inside(a.space, spots)
    return mask & ~a.lung()


def draw_hiatal_hernia(a: Anatomy, f: Finding) -> Mask:
    """Stomach behind the heart, wall, fluid, and air on top."""
    rng = f.stream()
    heart = a.labels == 4
    centre = (-10, -28, quantile(a.space.z, heart, 0.12) if heart.any() else -70.0)
    size = f.reach
    mask = ellipsoid(a.space, centre, (size, size * 0.85, size)) & ~np.isin(a.labels, (4, 5, 8))
    inner = ellipsoid(a.space, centre, (size - 3.5, size * 0.85 - 3.5, size - 3.5)) & mask
    a.image[mask] = 48
    a.image[inner] = np.float32(rng.uniform(5, 35))
    a.image[inner & (a.space.y > -28 + size * rng.uniform(-0.2, 0.35))] = -950
    a.take(mask)
    return mask


def draw_device(a: Anatomy, f: Finding) -> Mask:
    """A venous line, a port, a pacemaker with its lead, wires around the sternum, a valve, or a stent."""
    rng = f.stream()
    metal, thick = _device(a, f.looks, rng)
    tubes.paint(a.image, a.space, metal, 2400, lighter_only=True)
    return tubes.inside(a.space, [Tube(t.start, t.end, max(t.radius, thick), max(t.end_radius, thick)) for t in metal])


def _device(a: Anatomy, looks: str, rng: np.random.Generator) -> tuple[list[Tube], float]:
    """The metal parts, and the least radius (mm) of what counts as the device."""
    line: list[list[float]] = [[27, 8, 60], [27, 6, float(rng.uniform(4, 30))]]
    if looks == "port catheter":
        y = _under_skin(a, 78, 79)
        port = polyline([[78, y, 76], [78, y, 82]], 8)
        return port + polyline([[78.0, y - 4, 82.0], [60.0, 56.0, 106.0], [40.0, 20.0, 100.0], *line], 1.4), 3.0
    if looks == "pacemaker":
        y = _under_skin(a, -80, 76)
        box = polyline([[-86, y - 2, 78], [-72, y, 74]], 8)
        lead: list[list[float]] = [
            [-80, y - 4, 84],
            [-70, 56, 108],
            [-20, 24, 92],
            [24, 12, 84],
            [28, 6, 20],
            [14, 20, -40],
        ]
        lead.append([-18, 36, -58])
        return box + polyline(lead, 1.3), 3.0
    if looks == "sternal wires":
        front = [_front(a, z) for z in (80, 55, 30, 5, -20)]
        loops = [[[-9.0, y - 5, z], [0.0, y + 4, z], [9.0, y - 5, z]] for _, y, z in (p.tolist() for p in front)]
        wires = [t for loop in loops for t in polyline(loop, 1)]
        return wires, 2.5
    middle = _aortic_root(a)
    if looks == "aortic valve":
        ring = [[12 * np.cos(t), 12 * np.sin(t), 5 * np.sin(t)] for t in np.linspace(0, 2 * np.pi, 9)]
        return polyline((middle + np.array(ring)).tolist(), 1.5), 2.5
    if looks == "coronary stent":
        start = middle + np.array([-18.0, 22.0, 4.0])
        return polyline([start.tolist(), (start + np.array([-14.0, 8.0, -14.0])).tolist()], 1.8), 2.5
    return polyline([[42.0, 14.0, 150.0], [34.0, 14.0, 100.0], *line], 1.4), 3.0


def _front(a: Anatomy, z: float) -> Points:
    """The rib cage's front in the midline at a height, body mm."""
    for y in range(60, 130, 2):
        if a.depth[a.space.voxel_at((0, y, z))] < -8:
            return np.array([0.0, y, z])
    return np.array([0.0, 92.0, z])


def _under_skin(a: Anatomy, x: float, z: float) -> float:
    """Body y (mm) a centimetre below the skin of the front of the chest."""
    seen = [y for y in range(50, 170, 2) if a.regions["body"][a.space.voxel_at((x, y, z))]]
    return float(max(seen, default=90)) - 11


def _aortic_root(a: Anatomy) -> Points:
    """The lowest part of the ascending aorta, body mm."""
    root = a.regions["ascending aorta"]
    low = root & (a.space.z < quantile(a.space.z, root, 0.2))
    return np.array([quantile(v, low, 0.5) for v in (a.space.x, a.space.y, a.space.z)])


def _plaques(a: Anatomy, f: Finding, regions: tuple[str, ...], least: int, most: int) -> Mask:
    """Small dense spots on the surface of vessels."""
    rng = f.stream()
    vessel = np.logical_or.reduce([a.regions[name] for name in regions])
    surface = vessel.copy()
    surface[1:-1, 1:-1] &= ~(vessel[2:, 1:-1] & vessel[:-2, 1:-1] & vessel[1:-1, 2:] & vessel[1:-1, :-2])
    points = rng.uniform([-45, -60, -70], [40, 40, 95], (4000, 3))
    at = np.rint(a.space.to_grid(points) / a.grid.spacing_mm + (np.array(a.grid.shape) - 1) / 2).astype(int)
    inside = ((at >= 0) & (at < a.grid.shape)).all(1)
    x, y, z = at[inside].T
    spots = points[inside][surface[x, y, z]][: int(rng.integers(least, most + 1))]
    mask = np.zeros(a.grid.shape, dtype=bool)
    for centre in spots:
        mask |= ellipsoid(a.space, centre, rng.uniform(1.6, 4.2, 3))
    mask &= a.regions["body"] & ~a.lung()
    a.image[mask] = np.float32(rng.uniform(380, 1100))
    return mask
