"""What a drawn finding is, and how findings find their place in the lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Box, Float, Image, Mask
from simcrop_core.phantom.truth import LOBES

Grade = str
GRADES: tuple[Grade, Grade, Grade] = ("mild", "moderate", "severe")
UPPER, LOWER = (1, 3), (2, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One drawn finding.

    Attributes:
        kind: a name of `simcrop_core.phantom.truth.KIND_LABELS`.
        side: "left", "right" or "" for both or the midline.
        lobe: a name of `simcrop_core.phantom.truth.LOBES`, or "".
        voxels: flat indices.
        grade: how severe.
        form: which variety of its kind ("spiculated", "pacemaker"), or "".
        site: where, for what lies in no lobe ("right paratracheal"), or "".
        size_mm: largest diameter of a focal lesion, else 0.
    """

    kind: str
    side: str
    lobe: str
    voxels: NDArray[np.int32]
    grade: Grade = "moderate"
    form: str = ""
    site: str = ""
    size_mm: float = 0.0


def side_of(lobe: int) -> str:
    """The side of a lobe by its label."""
    return LOBES[lobe].split(" ")[0]


def lobe_of(rng: np.random.Generator, among: tuple[int, ...] = (1, 2, 3, 4, 5)) -> int:
    """A lobe by chance; the middle lobe, small as it is, more rarely."""
    weight = np.array([0.5 if k == 4 else 1.0 for k in among])
    return int(rng.choice(among, p=weight / weight.sum()))


_DIRECTIONS = np.array(
    [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z], dtype=float
)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)


def site_in(scene: Scene, rng: np.random.Generator, lobe: int, radius_mm: float, *, least: float = 0.8) -> Float | None:
    """A point in a lobe about which a ball of that radius lies in the lobe, clear of other findings.

    Args:
        scene: the scan.
        rng: random numbers.
        lobe: label of the lobe.
        radius_mm: of the ball.
        least: share of the ball's surface that has to lie within the lobe.

    Returns:
        The point in mm, or None where the lobe has no such room.
    """
    flat = np.flatnonzero(scene.lobes.reshape(-1) == lobe)
    if not flat.size:
        return None
    centres = scene.grid.points(rng.choice(flat, 60))
    around = centres[:, None, :] + np.concatenate([_DIRECTIONS, _DIRECTIONS * 0.5])[None] * radius_mm
    index = np.round(scene.grid.to_index(around)).astype(int)
    index = np.clip(index, 0, np.array(scene.grid.shape) - 1)
    x, y, z = index[..., 0], index[..., 1], index[..., 2]
    share = (scene.lobes[x, y, z] == lobe).mean(axis=1) - scene.taken[x, y, z].mean(axis=1)
    good = np.flatnonzero(share >= least)
    if good.size:
        return np.asarray(centres[good[0]])
    best = int(share.argmax())
    return np.asarray(centres[best]) if share[best] >= 0.8 * least else None


def mix(scene: Scene, box: Box, weight: Image, hu: float | Image) -> None:
    """Replace by a density in proportion to a weight."""
    scene.image[box] += weight * (np.asarray(hu, dtype=np.float32) - scene.image[box])


def claim(scene: Scene, box: Box, mask: Mask) -> NDArray[np.int32]:
    """Note that a finding lies there, and give its flat indices."""
    scene.taken[box] |= mask
    return scene.grid.flat(box, mask)


def largest_diameter_mm(scene: Scene, voxels: NDArray[np.int32]) -> float:
    """The largest extent over 13 directions, from the outer faces of the voxels."""
    points = scene.grid.points(voxels)
    half = len(_DIRECTIONS) // 2
    extent = points @ _DIRECTIONS[:half].T
    return float((extent.max(0) - extent.min(0)).max() + min(scene.grid.spacing_mm))


def random_unit(rng: np.random.Generator) -> Float:
    """A direction, all equally likely."""
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))
