"""Who lies in the scanner: age, sex, size, pose, breath, bones and contrast medium, drawn once a seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from simcrop_core.phantom.style_a.space import Points

# A heart larger than this by `Body.heart` is called enlarged.
ENLARGED = 1.19


@dataclass(frozen=True, slots=True)
class Contrast:
    """What contrast medium adds, HU: to the right heart, the left heart and aorta, and to organs; 0 without.

    Attributes:
        phase: "none", "arterial" or "venous".
        veins: added in caval veins, right heart and pulmonary arteries.
        arteries: added in left heart and aorta.
        organs: added in liver and spleen.
        cortex: added in the kidneys' cortex.
    """

    phase: str
    veins: float
    arteries: float
    organs: float
    cortex: float


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One person; every random choice about them comes from here or from `stream`.

    Attributes:
        seed: draws the same person again.
        age: years.
        sex: "M" or "F".
        fat_mm: of the chest wall.
        muscle: thickness of muscles, 1 on average.
        breath_mm: how much higher than usual the diaphragm stands.
        heart: factor on the heart's size; above `ENLARGED` it is enlarged.
        arms_down: beside the trunk rather than above the head.
        marrow: HU of spongy bone.
        cortex: HU of compact bone.
        contrast: the contrast medium's phase.
        half_x: half the rib cage's inner width, mm.
        half_y: half its depth, mm.
        top: height of its dome, mm.
        power: of the superellipse that is its outline.
        matrix: as in `Space`.
        offset: as in `Space`.
        warp: as in `Space`.
    """

    seed: int
    age: int
    sex: str
    fat_mm: float
    muscle: float
    breath_mm: float
    heart: float
    arms_down: bool
    marrow: float
    cortex: float
    contrast: Contrast
    half_x: float
    half_y: float
    top: float
    power: float
    matrix: Points
    offset: Points
    warp: Points

    def stream(self, part: str) -> np.random.Generator:
        """Random numbers of their own for one part of the body: drawing one part differently leaves the others."""
        return np.random.default_rng([self.seed, zlib.crc32(part.encode())])


def draw_body(seed: int) -> Body:
    """Draw one person; the same seed, the same person."""
    rng = np.random.default_rng([seed, 7])
    sex = str(rng.choice(["F", "M"]))
    age = int(np.clip(rng.normal(56, 17), 18, 92))
    female = sex == "F"
    size = rng.uniform(0.86, 1.06) * (0.94 if female else 1.03)
    scale = size * np.array([rng.uniform(0.93, 1.07), rng.uniform(0.88, 1.12), rng.uniform(0.92, 1.08)])
    tilt = rng.normal(0, np.deg2rad([3.0, 3.0, 4.0]))
    enlarged = rng.random() < 0.06 + 0.001 * age
    old = (age - 20) / 70
    return Body(
        seed=seed,
        age=age,
        sex=sex,
        fat_mm=float(rng.gamma(3.2, 5.0) + (6 if female else 4)),
        muscle=float(rng.uniform(0.75, 1.25) * (0.82 if female else 1.08) * (1.1 - 0.3 * old)),
        breath_mm=float(rng.uniform(-22, 20)),
        heart=float(rng.uniform(1.22, 1.38) if enlarged else rng.uniform(0.97, 1.1) + 0.05 * old),
        arms_down=bool(rng.random() < 0.22),
        marrow=float(np.clip(rng.normal(235 - 130 * old, 30), 60, 300)),
        cortex=float(rng.uniform(420, 760) - 120 * old),
        contrast=_contrast(rng),
        half_x=float(rng.uniform(124, 136)),
        half_y=float(rng.uniform(80, 93) + 4 * old),
        top=float(rng.uniform(124, 134)),
        power=float(rng.uniform(2.2, 2.7)),
        matrix=np.diag(1 / scale) @ _rotation(tilt),
        offset=np.array([0.0, 0.0, -16.0]) + rng.normal(0, [5.0, 7.0, 9.0]),
        warp=rng.normal(0, 1, (3, 6, 6, 6)) * rng.uniform(4.0, 10.0),
    )


def _contrast(rng: np.random.Generator) -> Contrast:
    phase = str(rng.choice(["none", "arterial", "venous"], p=[0.5, 0.25, 0.25]))
    if phase == "arterial":
        arteries = rng.uniform(150, 330)
        return Contrast(phase, arteries * rng.uniform(0.7, 1.5), arteries, rng.uniform(5, 25), rng.uniform(80, 160))
    if phase == "venous":
        blood = rng.uniform(80, 140)
        return Contrast(phase, blood * rng.uniform(0.9, 1.1), blood, rng.uniform(40, 65), rng.uniform(90, 140))
    return Contrast(phase, 0.0, 0.0, 0.0, 0.0)


def _rotation(angles: Points) -> Points:
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Points = about_z @ about_y @ about_x
    return rotation
