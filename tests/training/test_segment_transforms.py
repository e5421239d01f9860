"""Files to the network's input: the released loader's own output, crops that a seed decides, bad label maps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from golden import parity_weights
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.evaluate.segmenting.prepared import prepare
from simcrop_training.evaluate.segmenting.presets import changed, protocol_of
from simcrop_training.evaluate.segmenting.transforms import random_crops, read_pair, resampled

from simcrop_core.errors import BrokenGeometry, UnreadableFile
from simcrop_core.imaging.volume import Volume

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = ["las_0p7_0p8_1p25", "lps_permuted", "ras_identity_spacing"]
SMALL = changed(protocol_of("official", "btcv"), window=(16, 16, 8), crops=6)


@pytest.mark.parametrize("case", CASES)
def test_official_preprocessing_is_the_released_loaders(case):
    """Image, labels and shape of its validation transform, on three affines (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "preproc_seg.npz")
    hu = parity_weights.volume((120, 110, 90), 200 + CASES.index(case))
    hu[:10] = hu[-7:] = -1024
    hu[:, :, :4] = -1024
    labels = np.kron(np.random.RandomState(3).randint(0, 14, (12, 11, 9)), np.ones((10, 10, 10), int)).astype(np.uint8)
    made = resampled(
        Volume(hu, golden[f"{case}_affine"]), labels, spacing_mm=(1.5, 1.5, 3.0), hu_window=(-1000.0, 1000.0),
        crop_to_bone=True,
    )  # fmt: skip
    assert (1, *made.image_HWD.shape) == tuple(golden[f"{case}_shape"])
    np.testing.assert_allclose(made.image_HWD[::4, ::4, ::2], golden[f"{case}_image_sub"][0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(made.image_HWD.sum(dtype=np.float64), golden[f"{case}_image_sum"], rtol=1e-5)
    differ = made.label_HWD[::2, ::2, ::2] != golden[f"{case}_label"][0]
    assert differ.mean() <= 0.02
    counts = np.bincount(made.label_HWD.ravel(), minlength=14)
    assert np.abs(counts - golden[f"{case}_label_hist"]).sum() <= 0.02 * made.label_HWD.size


def striped(shape=(24, 20, 18)):
    image = torch.linspace(-0.5, 0.9, shape[0])[:, None, None].expand(shape).contiguous()
    label = torch.zeros(shape, dtype=torch.uint8)
    label[8:12, 6:12, 5:9] = 3
    return image, label


def test_a_seed_decides_the_crops_and_half_of_them_hold_a_label():
    image, label = striped()
    images, labels = random_crops(image, label, SMALL, 5)
    again, _ = random_crops(image, label, SMALL, 5)
    others, _ = random_crops(image, label, SMALL, 6)
    assert images.shape == labels.shape == (6, 1, 16, 16, 8)
    assert torch.equal(images, again)
    assert not torch.equal(images, others)
    both = [random_crops(image, label, SMALL, seed)[1] for seed in range(20)]
    centred = torch.cat(both)[:, 0, 7:9, 7:9, 3:5].flatten(1).any(1).float().mean()
    assert 0.3 < centred < 0.9


def test_clean_crops_are_never_mirrored_left_to_right():
    image, label = striped()
    clean = changed(protocol_of("clean", "btcv"), window=(16, 16, 8), crops=6)
    for seed in range(12):
        images, _ = random_crops(image, label, clean, seed)
        assert (images[:, :, -1] > images[:, :, 0]).all(), "brighter towards the right end, in every crop"
    mirrored = [random_crops(image, label, SMALL, seed)[0] for seed in range(12)]
    assert any((images[:, :, -1] < images[:, :, 0]).any() for images in mirrored)


def test_a_scan_smaller_than_the_window_gets_air_around_it():
    image, label = striped((10, 20, 6))
    images, labels = random_crops(image, label, SMALL, 0)
    assert images.shape == (6, 1, 16, 16, 8)
    assert float(images.min()) <= -0.8
    assert labels.max() == 3


def saved(path, voxels, affine=None):
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 4, 1]) if affine is None else affine), path)
    return path


def scan_in(folder, labels, *, affine=None, name="a", **fields):
    hu = np.full((20, 18, 12), -900, np.int16)
    hu[4:16, 4:14, 3:9] = 60
    image, mask = saved(folder / f"{name}.nii.gz", hu), saved(folder / f"{name}_label.nii.gz", labels, affine)
    return LabelledScan(name, name, image, "train", (), mask=mask, **fields)


def boxes():
    labels = np.zeros((20, 18, 12), np.uint8)
    labels[4:8, 4:14, 3:9], labels[12:16, 4:14, 3:9] = 1, 2
    return labels


def test_label_maps_on_turned_axes_and_with_other_numbers_mean_the_same(tmp_path):
    labels = boxes()
    _, plain = read_pair(scan_in(tmp_path, labels), 3)
    flip = np.diag([-2.0, 2, 4, 1])
    flip[0, 3] = 2.0 * 19
    scan = scan_in(tmp_path, np.array([0, 3, 5], np.uint8)[labels[::-1]], affine=flip, name="b", mask_values=(0, 3, 5))
    _, turned = read_pair(scan, 3)
    np.testing.assert_array_equal(plain, labels)
    np.testing.assert_array_equal(turned, labels)


def test_a_label_map_that_is_not_its_scans_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match="holds 2, which no label has"):
        read_pair(scan_in(tmp_path, boxes()), 2)
    with pytest.raises(BrokenGeometry, match="not on the voxels"):
        read_pair(scan_in(tmp_path, boxes(), affine=np.diag([2.0, 2, 5, 1])), 3)


def test_bad_scans_are_left_out_and_good_ones_made_once(tmp_path):
    good = scan_in(tmp_path, boxes())
    empty = scan_in(tmp_path, np.zeros_like(boxes()), name="empty")
    broken = scan_in(tmp_path, boxes(), name="broken")
    broken.path.write_bytes(broken.path.read_bytes()[:200])
    scans = [good, empty, broken]
    ready, left_out = prepare(scans, 3, SMALL, tmp_path / "ready")
    assert [p.scan.name for p in ready] == ["a"]
    assert {note.name: note.code for note in left_out} == {"empty": "nothing-labelled", "broken": "unreadable-file"}
    made = ready[0].file.stat().st_mtime_ns
    again, _ = prepare(scans, 3, SMALL, tmp_path / "ready")
    assert again[0].file.stat().st_mtime_ns == made
    other, _ = prepare([good], 3, dataclasses.replace(SMALL, spacing_mm=(3.0, 3.0, 3.0)), tmp_path / "ready")
    assert other[0].file != again[0].file

    image, label = ready[0].load()
    volume, labels = read_pair(good, 3)
    expected = resampled(
        volume, labels, spacing_mm=SMALL.spacing_mm, hu_window=SMALL.hu_window, crop_to_bone=SMALL.crop_to_bone
    )
    np.testing.assert_allclose(image.numpy(), expected.image_HWD, rtol=0, atol=1.6e-5)
    np.testing.assert_array_equal(label.numpy(), expected.label_HWD)
