"""A chest drawn from a formula in patient millimetres, on any voxel grid: right, left, and up are never in doubt."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.volume import Volume

LEFT_LUNG = ((-65.0, 5.0, 0.0), (48.0, 75.0, 120.0))
RIGHT_LUNG = ((65.0, 5.0, 0.0), (52.0, 75.0, 115.0))


def inside(points, centre, radii):
    return (((points - np.asarray(centre)) / np.asarray(radii)) ** 2).sum(axis=-1) < 1


def chest_hu(points):
    """HU at patient points (..., 3): a body 36 × 24 × 80 cm with lungs around the origin, spine, and a left heart."""
    hu = np.full(points.shape[:-1], -1000.0, dtype=np.float32)
    body = inside(points * [1, 1, 0], (0, 0, 0), (180, 120, 1)) & (np.abs(points[..., 2] + 150) < 400)
    hu[body] = 40
    hu[inside(points, *LEFT_LUNG) & body] = -850
    hu[inside(points, *RIGHT_LUNG) & body] = -850
    hu[inside(points, (-20, 20, -30), (45, 40, 55))] = 50
    hu[(np.hypot(points[..., 0], points[..., 1] + 90) < 16) & body] = 400
    return hu


def volume_of(field, affine, shape, name="chest"):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return Volume(np.asfortranarray(field(apply(affine, grid))).astype(np.int16), affine, name)


def affine_of(
    *, order=(0, 1, 2), signs=(1, 1, 1), spacing=(3.0, 3.0, 3.0), rotation=None, shape=None, centre=(0, 0, 0)
):
    """Voxel axis i runs along patient axis order[i] with sign signs[i], then rotated, about a centre."""
    matrix = np.zeros((3, 3))
    for voxel_axis, (patient_axis, sign, mm) in enumerate(zip(order, signs, spacing, strict=True)):
        matrix[patient_axis, voxel_axis] = sign * mm
    if rotation is not None:
        matrix = Rotation.from_rotvec(rotation, degrees=True).as_matrix() @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix
    if shape is not None:
        affine[:3, 3] = np.asarray(centre) - matrix @ ((np.asarray(shape) - 1) / 2)
    return affine


AXIS_ORDERS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]

axis_orders = st.sampled_from(AXIS_ORDERS)
# To a millionth of a degree: with the smallest floats there are, ITK's inverse of a direction is not a number.
rotations = st.tuples(*(st.floats(-25, 25).map(lambda degrees: round(degrees, 6)) for _ in range(3)))
ct_spacings = st.tuples(st.floats(0.5, 4), st.floats(0.5, 4), st.floats(0.6, 8))


def sitk_image(volume):
    """The volume as SimpleITK sees it: the independent oracle of geometry."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels.transpose(2, 1, 0)).astype(np.float32))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image
