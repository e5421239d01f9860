"""Resampling onto the model's grid, against SimpleITK, MONAI and the released preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from chests import affine_of, axis_orders, ct_spacings, rotations, sitk_image
from golden import parity_weights
from hypothesis import given, settings

from simcrop_core.imaging.affine import apply, spacing_mm, translated
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import lattice_of
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume

GOLDEN = Path(__file__).parents[1] / "golden"


def noise_volume(affine, shape, seed=0):
    return Volume(np.random.default_rng(seed).integers(-1200, 1200, shape).astype(np.int16), affine)


def sitk_resampled(volume, grid_affine, shape):
    """The volume, in HU, on another grid, by SimpleITK's own linear resampler (edge voxels not clamped)."""
    grid = Volume(np.zeros(shape, dtype=np.int16), grid_affine)
    image = sitk.Resample(sitk_image(volume), sitk_image(grid), sitk.Transform(), sitk.sitkLinear, -9999.0)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


@given(axis=axis_orders, rotation=rotations, spacing=ct_spacings)
@settings(max_examples=60, deadline=None)
def test_a_frame_is_what_simpleitk_resamples_at_the_same_places(axis, rotation, spacing):
    """All 48 axis orders, oblique and anisotropic: same values at the same millimetres of the patient."""
    shape = (23, 19, 17)
    volume = noise_volume(affine_of(order=axis[0], signs=axis[1], spacing=spacing, rotation=rotation), shape)
    lattice = lattice_of(volume, (2.1, 1.7, 3.3), "RAS")
    offset, size = (-2, 1, -3), (12, 9, 11)
    frame = resample_box(volume, lattice, offset, size, hu_window=(-2000, 2000))
    expected = sitk_resampled(volume, translated(lattice.affine, offset), size)
    inner = expected > -5000
    np.testing.assert_allclose(frame[inner], expected[inner] / 2000, atol=2e-4)
    assert (frame[~inner] <= 1).all()


@given(axis=axis_orders, rotation=rotations, spacing=ct_spacings)
@settings(max_examples=100, deadline=None)
def test_lattice_axes_point_to_the_right_front_and_head(axis, rotation, spacing):
    volume = noise_volume(affine_of(order=axis[0], signs=axis[1], spacing=spacing, rotation=rotation), (9, 8, 7))
    lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
    directions = lattice.affine[:3, :3] / spacing_mm(lattice.affine)
    assert (np.diag(directions) > 0.5).all()
    np.testing.assert_allclose(spacing_mm(lattice.affine), (1.5, 1.5, 3.0))


def test_every_memory_order_gives_the_same_frame():
    affine = affine_of(spacing=(0.8, 0.9, 2.0), rotation=(4, -7, 2))
    voxels = noise_volume(affine, (31, 27, 21)).voxels
    orders = [np.asfortranarray(voxels), np.ascontiguousarray(voxels), np.ascontiguousarray(voxels[::-1])[::-1]]
    frames = []
    for stored in orders:
        volume = Volume(stored, affine)
        lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
        frames.append(resample_box(volume, lattice, (0, 0, 0), lattice.shape, hu_window=(-1000, 1000)))
    np.testing.assert_allclose(frames[1], frames[0], atol=1e-6)
    np.testing.assert_allclose(frames[2], frames[0], atol=1e-6)


def test_beyond_the_scan_is_air():
    volume = Volume(np.full((8, 8, 8), 500, dtype=np.int16), np.eye(4))
    lattice = lattice_of(volume, (1.0, 1.0, 1.0), "RAS")
    box = resample_box(volume, lattice, (-4, 0, 20), (8, 8, 8), hu_window=(-1000, 1000))
    assert (box == -1).all()
    box = resample_box(volume, lattice, (-4, 0, 0), (8, 8, 8), hu_window=(-1000, 1000))
    assert (box[:4] == -1).all()
    np.testing.assert_allclose(box[4:], 0.5)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "ASL"])
def test_the_lattice_is_monais_orientation_and_spacing(orientation):
    """MONAI's Orientation → Spacing → ScaleIntensityRange, voxel by voxel, with its affine."""
    import nibabel
    from monai.data import MetaTensor
    from monai.transforms import Compose, Orientation, ScaleIntensityRange, Spacing

    codes = nibabel.orientations.axcodes2ornt(tuple(orientation))
    order, signs = codes[:, 0].astype(int), codes[:, 1].astype(int)
    volume = noise_volume(affine_of(order=tuple(order), signs=tuple(signs), spacing=(0.7, 0.8, 2.5)), (60, 50, 30))
    theirs = Compose(
        [
            Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacing((1.5, 1.5, 3.0), mode="bilinear"),
            ScaleIntensityRange(-1000, 1000, -1, 1, clip=True),
        ]
    )(MetaTensor(volume.voxels[None].astype(np.float32), affine=volume.affine))
    lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
    ours = resample_box(volume, lattice, (0, 0, 0), lattice.shape, hu_window=(-1000, 1000))
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=2e-4)
    np.testing.assert_allclose(lattice.affine, theirs.affine.numpy(), atol=1e-4)


def golden_volume(shape, seed, affine=None):
    return Volume(
        parity_weights.volume(tuple(int(n) for n in shape), int(seed)), np.eye(4) if affine is None else affine
    )


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize(
    ("prefix", "spacing"), [("default_spacing1", (1.0, 1.0, 1.0)), ("spacing_1p5_1p5_3", (1.5, 1.5, 3.0))]
)
def test_the_released_classification_preprocessing(prefix, spacing, case):
    """As stored, centre crop, reflect padding: the released loader's own output (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "preproc_cls.npz")
    config = FrameConfig(
        spacing_mm=spacing, shape=tuple(golden["roi"].tolist()), axes="stored", padding="reflect", placement="volume"
    )
    volume = golden_volume(golden["shapes"][case], golden["seeds"][case])
    np.testing.assert_allclose(frame_volume(volume, config).images_THWD, golden[f"{prefix}_v{case}"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", ["las_0p7_0p8_1p25", "lps_permuted", "ras_identity_spacing"])
def test_the_released_segmentation_preprocessing(case):
    """RAS by the affine, 1.5 × 1.5 × 3.0 mm, cropped to HU > 0: the released loader's own output."""
    golden = np.load(GOLDEN / "preproc_seg.npz")
    seed = 200 + ["las_0p7_0p8_1p25", "lps_permuted", "ras_identity_spacing"].index(case)
    volume = golden_volume((120, 110, 90), seed, golden[f"{case}_affine"])
    volume.voxels[:10] = volume.voxels[-7:] = -1024
    volume.voxels[:, :, :4] = -1024
    lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
    image = resample_box(volume, lattice, (0, 0, 0), lattice.shape, hu_window=(-1000, 1000))
    foreground = np.argwhere(image > 0)
    low, high = foreground.min(axis=0), foreground.max(axis=0) + 1
    np.testing.assert_array_equal([low, high], golden[f"{case}_box"])
    cropped = image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    np.testing.assert_allclose(cropped[::4, ::4, ::2], golden[f"{case}_image_sub"][0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(cropped.sum(dtype=np.float64), golden[f"{case}_image_sum"], rtol=1e-5)


def test_a_frame_needs_no_more_memory_than_its_own_size():
    """Cutting a frame allocates the frame and a few slices, whatever the size of the volume."""
    import tracemalloc

    volume = noise_volume(affine_of(spacing=(0.7, 0.7, 1.0)), (320, 320, 160))
    lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
    tracemalloc.start()
    frame = resample_box(volume, lattice, (0, 0, 0), (128, 128, 48), hu_window=(-1000, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * frame.nbytes + 4 * 320 * 320 * 4


def test_landmarks_are_where_the_affine_says():
    """A bright voxel comes out at the patient position it went in at."""
    affine = affine_of(order=(2, 0, 1), signs=(1, -1, 1), spacing=(2.0, 1.0, 1.5), rotation=(10, 5, -8))
    volume = Volume(np.full((30, 40, 35), -1000, dtype=np.int16), affine)
    volume.voxels[13, 22, 17] = 1000
    lattice = lattice_of(volume, (1.0, 1.0, 1.0), "RAS")
    box = resample_box(volume, lattice, (0, 0, 0), lattice.shape, hu_window=(-1000, 1000)) + 1
    centre = np.stack([(box * g).sum() for g in np.indices(box.shape)]) / box.sum()
    np.testing.assert_allclose(apply(lattice.affine, centre), apply(affine, [13, 22, 17]), atol=0.1)
