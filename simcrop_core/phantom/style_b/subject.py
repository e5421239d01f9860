"""Who lies in the scanner, how, and how they are scanned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simcrop_core.phantom.style_b.space import Float, stream
from simcrop_core.phantom.truth import Person

Contrast = Literal["none", "pulmonary", "arterial", "venous"]


@dataclass(frozen=True, slots=True)
class Enhancement:
    """HU of blood and organs in one contrast phase."""

    right_heart: float
    left_heart: float
    pulmonary: float
    aorta: float
    muscle: float
    myocardium: float
    liver: float
    spleen: float
    kidney: float


_PHASES: dict[Contrast, Enhancement] = {
    "none": Enhancement(42, 40, 42, 41, 52, 46, 57, 48, 32),
    "pulmonary": Enhancement(390, 190, 410, 150, 55, 78, 60, 60, 70),
    "arterial": Enhancement(220, 330, 230, 345, 56, 100, 68, 110, 150),
    "venous": Enhancement(150, 158, 150, 160, 62, 96, 112, 124, 190),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """One person in one pose.

    Attributes:
        person: age and sex.
        stretch: factors of size along x, y, z.
        turn_degrees: roll of the trunk on the table.
        lean: sideways and forward shift per mm towards the head.
        kyphosis_mm: how far the upper spine bends backwards of the straight line.
        shift_mm: where the lungs' middle lies off the scan's.
        breath_mm: how much lower than usual the diaphragm stands.
        fat_mm: thickness of the fat under the skin.
        arms_up: arms above the head.
        contrast: phase.
        blood: HU in that phase.
        lung_hu: density of healthy lung.
        bone: factor on the density of bone.
        heart: factor on the size of the heart.
        blur_mm: width of the kernel in the slice.
        sharpen: how much the kernel lifts edges.
        thickness_mm: slice thickness.
        noise_hu: deviation of the noise in soft tissue.
        table: whether the table top is seen.
        field_mm: radius of the reconstructed circle.
        bases_cut_mm: how much of the lowest lung the scan misses.
    """

    person: Person
    stretch: tuple[float, float, float]
    turn_degrees: float
    lean: tuple[float, float]
    kyphosis_mm: float
    shift_mm: tuple[float, float, float]
    breath_mm: float
    fat_mm: float
    arms_up: bool
    contrast: Contrast
    blood: Enhancement
    lung_hu: float
    bone: float
    heart: float
    blur_mm: float
    sharpen: float
    thickness_mm: float
    noise_hu: float
    table: bool
    field_mm: float
    bases_cut_mm: float

    def place(self, points: Float) -> Float:
        """Points of the reference body, mm in any shape (…, 3) → the patient's, planes of z staying planes."""
        scaled = points * np.array(self.stretch)
        x, y, z = scaled[..., 0], scaled[..., 1], scaled[..., 2]
        x = x + self.lean[0] * z
        y = y + self.lean[1] * z - self.kyphosis_mm * np.clip(z / 130, -1.3, 1.3) ** 2
        turn = np.radians(self.turn_degrees)
        turned = [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z]
        return np.asarray(np.stack(turned, axis=-1) + np.array(self.shift_mm))


def meet(seed: int, *, large_heart: bool) -> Subject:
    """The subject of a seed.

    Args:
        seed: the phantom's.
        large_heart: whether the heart is enlarged; nothing else depends on it.
    """
    rng = stream(seed, "subject")
    sex = str(rng.choice(["M", "F"]))
    age = int(rng.integers(21, 91))
    size = rng.normal(1.0 if sex == "M" else 0.93, 0.045)
    contrast = tuple(_PHASES)[int(rng.choice(4, p=[0.5, 0.15, 0.15, 0.2]))]
    sharp = rng.random() < 0.4
    heart = rng.normal(0.96, 0.035)
    large = rng.uniform(1.24, 1.38)
    scale = np.clip(rng.lognormal(0, 0.06, 8), 0.82, 1.22)
    phase = _PHASES[contrast]
    return Subject(
        person=Person(age, sex),
        stretch=(
            float(np.clip(size * rng.normal(1, 0.03), 0.84, 1.08)),
            float(np.clip(size * rng.normal(1, 0.05), 0.82, 1.12)),
            float(np.clip(size * rng.normal(1, 0.04), 0.84, 1.12)),
        ),
        turn_degrees=float(rng.normal(0, 2.5)),
        lean=(float(rng.normal(0, 0.018)), float(rng.normal(0, 0.03))),
        kyphosis_mm=float(rng.uniform(0, 6) + max(age - 60, 0) * 0.25 * rng.random()),
        shift_mm=(float(rng.normal(0, 5)), float(rng.normal(0, 6)), float(rng.normal(0, 5))),
        breath_mm=float(rng.normal(0, 9)),
        fat_mm=float(np.clip(rng.gamma(4, 4.2), 4, 42)),
        arms_up=bool(rng.random() < 0.8),
        contrast=contrast,
        blood=Enhancement(*(float(v * scale[k % 8]) for k, v in enumerate(dataclasses.astuple(phase)))),
        lung_hu=float(rng.normal(-842, 24)),
        bone=float(np.clip(1.15 - (age - 20) * 0.007 + rng.normal(0, 0.08), 0.5, 1.3)),
        heart=float(np.clip(large if large_heart else heart, 0.86, 1.4)),
        blur_mm=float(rng.uniform(0.45, 0.75) if sharp else rng.uniform(0.7, 1.15)),
        sharpen=float(rng.uniform(0.35, 0.9) if sharp else 0.0),
        thickness_mm=float(rng.choice([1.0, 2.0, 3.0, 5.0], p=[0.35, 0.2, 0.25, 0.2])),
        noise_hu=float(rng.uniform(22, 48) if sharp else rng.uniform(7, 20)),
        table=bool(rng.random() < 0.85),
        field_mm=float(rng.choice([400.0, rng.uniform(160, 190)], p=[0.6, 0.4])),
        bases_cut_mm=float(rng.uniform(15, 40)) if rng.random() < 0.05 else 0.0,
    )
