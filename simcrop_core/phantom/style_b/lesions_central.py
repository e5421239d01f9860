"""Findings of heart, vessels, oesophagus and nodes, and what surgeons leave behind."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.contours import grown
from simcrop_core.phantom.style_b.curves import along
from simcrop_core.phantom.style_b.fields import metaballs
from simcrop_core.phantom.style_b.finding import GRADES, Finding, claim, largest_diameter_mm, mix, random_unit
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Float
from simcrop_core.phantom.truth import LABELS

_FIXED = tuple(LABELS.index(name) for name in ("trachea", "heart", "aorta", "spine", "liver"))
DEVICE_SIDES = {"pacemaker": "left", "port": "right"}
# Stations of lymph nodes: reference point in mm, side, and how it is named.
STATIONS: tuple[tuple[tuple[float, float, float], str, str], ...] = (
    ((19, -8, 52), "right", "right paratracheal"),
    ((-15, -12, 48), "left", "left paratracheal"),
    ((6, -32, 16), "", "subcarinal"),
    ((-26, 8, 44), "", "aortopulmonary window"),
    ((6, 44, 50), "", "prevascular"),
    ((40, -8, 2), "right", "right hilar"),
    ((-46, -12, 2), "left", "left hilar"),
    ((124, -4, 92), "right", "right axillary"),
    ((-124, -4, 92), "left", "left axillary"),
)


def cardiomegaly(scene: Scene, _: np.random.Generator) -> Finding | None:
    """The enlarged heart, drawn with the body."""
    heart = scene.labels == LABELS.index("heart")
    grade = GRADES[int(np.searchsorted([1.28, 1.33], scene.subject.heart))]
    return Finding("cardiomegaly", "", "", scene.grid.flat(scene.grid.everywhere, heart), grade=grade)


def pericardial_effusion(scene: Scene, _: np.random.Generator) -> Finding | None:
    """The fluid about the heart, drawn with the body."""
    if scene.fluid is None:
        return None
    box = scene.fluid.box
    fluid = scene.fluid.mask & (np.abs(scene.image[box] - 9) < 2)
    millilitres = float(fluid.sum() * np.prod(scene.grid.spacing_mm)) / 1000
    grade = GRADES[int(np.searchsorted([230, 380], millilitres))]
    return Finding("pericardial effusion", "", "", claim(scene, box, fluid), grade=grade)


def arterial_calcification(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Plaques in the wall of the thoracic aorta."""
    aorta = scene.paths["aorta"]
    aorta = aorta[np.abs(aorta[:, 2]) < scene.grid.axis(2)[-1] - 8]
    tangent = np.gradient(aorta[:, :3], axis=0)
    grade = int(rng.integers(3))
    spots: list[Float] = []
    for at in rng.integers(len(aorta) // 5, len(aorta), 4 + 6 * grade):
        way = np.cross(tangent[at], random_unit(rng))
        way /= max(float(np.linalg.norm(way)), 1e-6)
        across = np.cross(way, tangent[at] / np.linalg.norm(tangent[at]))
        for swing in np.linspace(-0.4, 0.4, int(rng.integers(2, 6))):
            around = way * np.cos(swing) + across * np.sin(swing)
            spots.append(np.array([*(aorta[at, :3] + around * aorta[at, 3]), rng.uniform(1.7, 2.9)]))
    share = scene.cover(np.stack(spots))
    share[np.isin(scene.labels, (LABELS.index("trachea"), LABELS.index("spine")))] = 0
    mask = share > 0.3
    scene.blend(share, rng.uniform(700, 1200))
    voxels = claim(scene, scene.grid.everywhere, mask)
    return Finding("arterial calcification", "", "", voxels, grade=GRADES[grade])


def coronary_calcification(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Plaques along the courses of the coronary arteries under the heart's surface."""
    surface = grown(scene.heart, -3.0)
    known = np.flatnonzero(np.isfinite(surface[:, 0, 0]))
    corners = surface.shape[1]
    grade = int(rng.integers(3))
    form = str(rng.choice(["left anterior descending", "right coronary", "circumflex"], p=[0.6, 0.2, 0.2]))
    start, turn = {"left anterior descending": (0.36, 0.1), "right coronary": (0.12, -0.14), "circumflex": (0.5, 0.12)}[
        form
    ]
    top, low = known[int(len(known) * 0.84)], known[int(len(known) * 0.4)]
    slices = np.arange(top, low, -1)
    corner = ((start + turn * np.linspace(0, 1, len(slices))) * corners).astype(int) % corners
    course = along(np.column_stack([surface[slices, corner], scene.grid.axis(2)[slices]]))
    plaques = []
    for at in rng.integers(0, max(int(len(course) * 0.7), 1), 2 + 3 * grade):
        part = course[at : at + int(rng.integers(4, 14))]
        plaques.append(np.column_stack([part, np.full(len(part), rng.uniform(1.6, 2.3))]))
    share = scene.cover(*plaques)
    share[scene.labels != LABELS.index("heart")] = 0
    mask = share > 0.3
    if mask.sum() < 4:
        return None
    scene.blend(share, rng.uniform(700, 1100))
    voxels = claim(scene, scene.grid.everywhere, mask)
    return Finding("coronary calcification", "", "", voxels, grade=GRADES[grade], form=form)


def hiatal_hernia(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """Stomach that has slid up behind the heart: a wall, fluid, and gas in front."""
    gullet = scene.paths["oesophagus"]
    reference = scene.subject.place(np.array([-12.0, -22.0, -58.0]))
    centre = gullet[np.argmin(np.abs(gullet[:, 2] - reference[2])), :3] + np.array([-3.0, -4.0, 0.0])
    grade = int(rng.integers(3))
    radius = float((17, 24, 31)[grade] * rng.uniform(0.9, 1.1))
    box = scene.grid.around(centre, radius * 1.9)
    centres = centre + rng.normal(0, radius * 0.25, (4, 3)) * np.array([1.2, 0.6, 1.2])
    potential = metaballs(scene.grid, box, centres, np.full(4, radius * 0.62))
    free = ~np.isin(scene.labels[box], _FIXED) & ~scene.taken[box]
    whole = (potential > 1) & free
    inner = (potential > 1.9) & free
    if whole.sum() < 150:
        return None
    scene.image[box][whole] = 44
    gas = scene.grid.axis(1)[box[1]][None, :, None] > centre[1] + rng.uniform(-0.1, 0.4) * radius
    scene.image[box][inner] = np.broadcast_to(np.where(gas, -950.0, 14.0), inner.shape)[inner]
    scene.labels[box][whole] = 0
    scene.lobes[box][whole] = 0
    return Finding("hiatal hernia", "", "", claim(scene, box, whole), grade=GRADES[grade])


def lymphadenopathy(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """One to three enlarged nodes of one station."""
    where, side, site = STATIONS[int(rng.integers(len(STATIONS)))]
    centre = scene.subject.place(np.array(where, dtype=float))
    count = int(rng.integers(1, 4))
    radius = float(rng.uniform(6.5, 12.5))
    centres = centre + rng.normal(0, 4.5, (count, 3)) * np.array([0.6, 0.8, 1.6]) * (count > 1)
    radii = radius * rng.uniform(0.75, 1.0, count)
    box = scene.grid.around(centre, 40.0)
    potential = metaballs(scene.grid, box, centres, radii)
    weight = np.clip((np.sqrt(np.sqrt(potential)) - 1) * 4 + 0.5, 0, 1).astype(np.float32)
    weight *= ~np.isin(scene.labels[box], _FIXED) & (scene.image[box] < 115)
    mask = weight > 0.5
    if mask.sum() < 40:
        return None
    mix(scene, box, weight, rng.uniform(32, 48) + (28 if scene.subject.contrast != "none" else 0))
    scene.labels[box][mask] = 0
    scene.lobes[box][mask] = 0
    voxels = claim(scene, box, mask)
    size = min(largest_diameter_mm(scene, voxels), 2 * float(radii.max()))
    return Finding("lymphadenopathy", side, "", voxels, site=site, size_mm=size)


def medical_device(scene: Scene, rng: np.random.Generator) -> Finding | None:
    """A pacemaker with its lead, a port with its line, wires in the sternum, or a feeding tube."""
    form = str(rng.choice(["pacemaker", "port", "sternal wires", "feeding tube"]))
    side = DEVICE_SIDES.get(form, "")
    tubes = {"pacemaker": _pacemaker, "port": _port, "sternal wires": _wires, "feeding tube": _feeding_tube}[form](
        scene, rng
    )
    share = scene.cover(*tubes)
    scene.blend(share, {"feeding tube": 900.0, "port": 1600.0}.get(form, 2800.0))
    mask = share > 0.3
    return Finding("medical device", side, "", claim(scene, scene.grid.everywhere, mask), form=form)


def _under_skin(scene: Scene, x: float, z: float, depth: float) -> Float:
    """A point of the front of the chest, that deep under the skin, from reference x and z."""
    at = scene.subject.place(np.array([x, 60.0, z]))
    i, _, k = np.clip(np.round(scene.grid.to_index(at)).astype(int), 0, np.array(scene.grid.shape) - 1)
    skin = np.flatnonzero(scene.image[i, :, k] > -250)
    at[1] = scene.grid.axis(1)[skin[-1]] - depth if skin.size else 60.0
    return np.asarray(at)


def _with_radius(points: list[Float], radius: float) -> Float:
    return along(np.column_stack([np.stack(points), np.full(len(points), radius)]))


def _pacemaker(scene: Scene, rng: np.random.Generator) -> list[Float]:
    box = _under_skin(scene, -76 + rng.normal(0, 4), 78 + rng.normal(0, 6), 13)
    u, v = np.meshgrid(np.linspace(-19, 19, 14), np.linspace(-21, 21, 16))
    rounded = (u / 21) ** 4 + (v / 23) ** 4 < 1.1
    case = box + np.stack([u[rounded], -0.35 * np.abs(u[rounded]) * 0.4, v[rounded]], axis=-1)
    place = scene.subject.place
    way = [box + np.array([6.0, -4, 20]), *(place(np.array(p, dtype=float)) for p in ((-52, 22, 108), (-30, 26, 94)))]
    way += [
        place(np.array(p, dtype=float)) for p in ((4, 31, 77), (24, 21, 64), (25, 17, 20), (24, 12, -22), (6, 32, -52))
    ]
    tip = place(np.array([-30.0, 48.0, -66.0]))
    return [np.column_stack([case, np.full(len(case), 3.6)]), _with_radius([*way, tip], 1.3)]


def _port(scene: Scene, rng: np.random.Generator) -> list[Float]:
    box = _under_skin(scene, 72 + rng.normal(0, 5), 72 + rng.normal(0, 8), 12)
    ring = [box + np.array([9 * np.cos(t), 0, 9 * np.sin(t)]) for t in np.linspace(0, 2 * np.pi, 30)]
    way = [
        box,
        *(
            scene.subject.place(np.array(p, dtype=float))
            for p in ((56, 24, 110), (32, 19, 96), (25, 21, 70), (26, 18, 30))
        ),
    ]
    return [np.column_stack([np.stack([box, *ring]), np.full(31, 3.4)]), _with_radius(way, 1.3)]


def _wires(scene: Scene, rng: np.random.Generator) -> list[Float]:
    tubes = []
    for z in np.arange(78, -40, -rng.uniform(20, 26)):
        front = 62 + (76 - z) * 0.3 if z > 10 else 88 + (10 - z) * 0.14
        turns = np.linspace(0, 2 * np.pi, 24)
        loop = np.column_stack(
            [17 * np.cos(turns), front + 8 * np.sin(turns), z + rng.normal(0, 0.5) + 2 * np.cos(turns)]
        )
        tubes.append(_with_radius(list(scene.subject.place(loop)), 1.0))
    return tubes


def _feeding_tube(scene: Scene, _: np.random.Generator) -> list[Float]:
    path = scene.paths["oesophagus"][:, :3]
    end = scene.subject.place(np.array([(-46.0, 6.0, -112.0), (-58.0, 16.0, -128.0)]))
    return [_with_radius([*path[::12], *end], 1.7)]
