"""The body's own coordinates on the model grid: position, size, pose and a smooth individual deformation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates, zoom

SHAPE = (224, 224, 112)
SPACING_MM = (1.5, 1.5, 3.0)

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_KNOTS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where every voxel of the frame lies in a standard body (mm; x to the right, y to the front, z upwards).

    Attributes:
        x: (224, 224, 112) body coordinate of each voxel, 0 in the midline, negative on the patient's left.
        y: likewise, negative towards the back.
        z: likewise, 0 about the level of the pulmonary hila.
        matrix: (3, 3) frame mm (about the frame's centre) → body mm, before the deformation.
        offset: (3,) body mm at the frame's centre.
        warp: (3, 8, 8, 8) deformation in mm at knots spread over the frame.
    """

    x: Field
    y: Field
    z: Field
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    warp: NDArray[np.float64]

    def to_frame(self, body_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Frame mm about the centre, (n, 3), of points (n, 3) of the standard body, by fixed-point iteration."""
        inverse = np.linalg.inv(self.matrix)
        frame = (body_mm - self.offset) @ inverse.T
        half = np.array(SHAPE) * SPACING_MM / 2
        for _ in range(3):
            knots = (frame + half) / (2 * half) * (_KNOTS - 1)
            moved = np.stack([map_coordinates(w, knots.T, order=1, mode="nearest") for w in self.warp], -1)
            frame = (body_mm - self.offset - moved) @ inverse.T
        return frame


def frame_axes() -> tuple[Field, Field, Field]:
    """Voxel centres in mm about the frame's centre along each axis, ready to broadcast."""
    x, y, z = (
        ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(s)) for n, s in zip(SHAPE, SPACING_MM, strict=True)
    )
    return x[:, None, None], y[None, :, None], z[None, None, :]


def body_space(rng: np.random.Generator) -> Space:
    """Draw one person's size, pose and shape, placed in the frame as the reader places it: about the lungs."""
    tilt = rng.normal(0, np.deg2rad([3.0, 3.0, 5.0]))
    size = rng.uniform(0.84, 1.1) * np.array([rng.uniform(0.92, 1.08), rng.uniform(0.88, 1.12), rng.uniform(0.9, 1.1)])
    matrix = np.diag(1 / size) @ _rotation(tilt)
    offset = np.array([0.0, 0.0, -16.0]) + rng.normal(0, [6.0, 7.0, 10.0])
    warp = zoom(rng.normal(0, 1, (3, 4, 4, 4)), (1, 2, 2, 2), order=3) * rng.uniform(3.0, 7.0)
    fx, fy, fz = frame_axes()
    x, y, z = (
        (np.float32(m[0]) * fx + np.float32(m[1]) * fy + np.float32(m[2]) * fz + np.float32(o)) + upsampled(w, SHAPE)
        for m, o, w in zip(matrix, offset, warp, strict=True)
    )
    return Space(x, y, z, matrix, offset, warp)


def box_around(space: Space, centre: ArrayLike, reach_mm: float) -> tuple[slice, slice, slice]:
    """The voxels within `reach_mm` of a point of the standard body, cut to the frame (empty where outside)."""
    scale = float(np.cbrt(1 / np.linalg.det(space.matrix)))
    middle = space.to_frame(np.asarray(centre, dtype=np.float64)[None])[0] / SPACING_MM + np.array(SHAPE) / 2
    reach = (reach_mm * scale * 1.2 + 8) / np.array(SPACING_MM)
    low = np.clip(np.floor(middle - reach), 0, SHAPE).astype(int)
    high = np.clip(np.ceil(middle + reach), 0, SHAPE).astype(int)
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    return x, y, z


def ellipsoid(space: Space, centre: ArrayLike, radii: ArrayLike, *, lean: float = 0.0) -> Mask:
    """(224, 224, 112) voxels inside an ellipsoid (body mm); `lean` (radians) tips its top to the patient's right."""
    (cx, cy, cz), (rx, ry, rz) = np.asarray(centre, dtype=np.float32), np.asarray(radii, dtype=np.float32)
    mask = np.zeros(SHAPE, dtype=bool)
    box = box_around(space, centre, float(max(rx, ry, rz)))
    x, y, z = space.x[box] - cx, space.y[box] - cy, space.z[box] - cz
    if lean:
        x, z = np.cos(lean) * x - np.sin(lean) * z, np.sin(lean) * x + np.cos(lean) * z
    mask[box] = (x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2 < 1
    return mask


def upsampled(knots: NDArray[np.float64], shape: tuple[int, int, int]) -> Field:
    """Spread values at knots linearly over a grid, the first and last knot on its edges."""
    out = knots.astype(np.float32)
    for axis, n in enumerate(shape):
        at = np.linspace(0, out.shape[axis] - 1, n)
        low = np.minimum(at.astype(np.intp), out.shape[axis] - 2)
        part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        out = np.take(out, low, axis) * (1 - part) + np.take(out, low + 1, axis) * part
    return out


def smooth_noise(rng: np.random.Generator, knots: tuple[int, int, int]) -> Field:
    """A smooth random field over the frame, about standard normal."""
    return upsampled(rng.normal(0, 1, knots) * 1.5, SHAPE)


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = about_z @ about_y @ about_x
    return rotation
