"""Outlined findings become targets of grounding at the place where people outlined them."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from ct_rate_files import CtRateFolder, save, save_lps
from simcrop_training.data.frames import patch_shares
from simcrop_training.data.sample import CELLS, load_sample
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.volume import Settings
from store_making import one_process

from simcrop_core.errors import UnknownDataSet
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.read import read_volume

VOXELS, MM = (100, 72, 84), (4.0, 4.0, 4.0)
FINDINGS = {"0": "Nodule in the right lower lobe.", "1": "Effusion in the left lung.", "2": "Something at the arm."}
# Boxes in RAS voxels of the scan; the chest formula has its origin at the scan's middle, right is +x.
BOXES = {"0": ((62, 40, 30), (67, 45, 34)), "1": ((30, 20, 25), (38, 40, 30)), "2": ((0, 30, 30), (3, 34, 34))}


def _masks_ras():
    masks = np.zeros((3, *VOXELS), np.uint8)
    for number, (low, high) in BOXES.items():
        masks[(int(number), *map(slice, low, high))] = 1
    return masks


@pytest.fixture
def source(tmp_path):
    """A CT-RATE folder of one scan, with the index and masks of ReXGroundingCT."""
    made = CtRateFolder(tmp_path / "rex")
    affine = affine_of(spacing=MM, shape=VOXELS)
    path = made.scan("train_9_a_1", findings=" ".join(FINDINGS.values()), XYSpacing="[4, 4]", ZSpacing="4")
    save_lps(path, volume_of(chest_hu, affine, VOXELS).voxels, MM)
    entry = {"name": "train_9_a_1.nii.gz", "findings": FINDINGS, "categories": {"0": "2d", "1": "2e", "2": "9z"}}
    hidden = {"name": "train_10_a_1.nii.gz", "findings": {"0": "x"}, "categories": {"0": "2d"}}
    index = {"train": [entry], "val": [], "test": [hidden]}
    (made.folder / "dataset.json").write_text(json.dumps(index))
    return made.write()


def _save_masks(source, masks, affine):
    save(source / "segmentations" / "train_9_a_1.nii.gz", masks, affine)


def _scan_affine(source):
    return nibabel.load(source / "dataset/train_fixed/train_9/train_9_a/train_9_a_1.nii.gz").affine


def _sample(source, folder):
    report = prepare(read_data_set(source), folder, Settings(), one_process)
    assert report.excluded == []
    return load_sample(folder / "grounding" / "train" / "train_9_a_1.npz")


@pytest.fixture
def as_stored(source):
    """Masks along the scan's own axes, LPS."""
    _save_masks(source, _masks_ras()[:, ::-1, ::-1], _scan_affine(source))
    return source


def test_a_finding_covers_the_cells_where_it_was_outlined(as_stored, tmp_path):
    sample = _sample(as_stored, tmp_path / "store")
    path = as_stored / "dataset/train_fixed/train_9/train_9_a/train_9_a_1.nii.gz"
    frame = frame_volume(read_volume(path), FrameConfig())
    assert np.abs(sample.image - frame.images_THWD[0] * 1000).max() <= 0.5
    assert sample.known == ()
    to_frame = np.linalg.inv(frame.affine)
    scan = np.diag([*MM, 1.0])
    scan[:3, 3] = (_scan_affine(as_stored) @ [VOXELS[0] - 1, VOXELS[1] - 1, 0, 1])[:3]
    for truth, (low, high) in zip(sample.truths, BOXES.values(), strict=False):
        corners = [(to_frame @ scan @ [*(np.array(at) - 0.5), 1])[:3] for at in (low, high)]
        cells = np.array(np.unravel_index(truth.cells, CELLS))
        # By hand: the box's faces in cells of 4 × 4 × 2 frame voxels.
        assert np.abs(cells.min(axis=1) - (corners[0] + 0.5) / (4, 4, 2)).max() <= 1
        assert np.abs(cells.max(axis=1) + 1 - (corners[1] + 0.5) / (4, 4, 2)).max() <= 1
        volume_mm3 = truth.counts.sum() * 1.5 * 1.5 * 3.0
        assert volume_mm3 == pytest.approx(np.prod(np.subtract(high, low)) * 64.0, rel=0.15)
        assert patch_shares(truth, (14, 14, 14)).max() > 0


def test_side_lobe_and_kind_are_read_and_what_is_outside_the_frame_is_left_out(as_stored, tmp_path):
    truths = _sample(as_stored, tmp_path / "store").truths
    assert [(t.text, t.polarity, t.topic, t.side, t.lobe) for t in truths] == [
        (FINDINGS["0"], "positive", "nodule", "right", "right lower lobe"),
        (FINDINGS["1"], "positive", "pleural effusion", "left", ""),
    ]
    sides = [np.average(np.unravel_index(t.cells, CELLS)[0], weights=t.counts) > CELLS[0] / 2 for t in truths]
    assert sides == [True, False]
    assert all(t.cells.size for t in truths)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_masks_along_other_axes_are_turned_by_their_affine(source, as_stored, tmp_path, order):
    expected = _sample(as_stored, tmp_path / "one")
    lps = _scan_affine(source)
    ras = lps @ np.array([[-1, 0, 0, VOXELS[0] - 1], [0, -1, 0, VOXELS[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    _save_masks(source, _masks_ras().transpose(0, *(1 + axis for axis in order)), ras @ np.eye(4)[:, [*order, 3]])
    turned = _sample(source, tmp_path / "two")
    for truth, other in zip(expected.truths, turned.truths, strict=True):
        assert np.array_equal(truth.cells, other.cells)
        assert np.array_equal(truth.counts, other.counts)


def test_masks_on_another_grid_are_refused(source, tmp_path):
    affine = _scan_affine(source)
    affine[0, 3] += 3.0
    _save_masks(source, _masks_ras()[:, ::-1, ::-1], affine)
    report = prepare(read_data_set(source), tmp_path / "store", Settings(), one_process)
    assert [(note.name, note.code) for note in report.excluded] == [("train_9_a_1", "broken-geometry")]


def test_masks_of_another_number_of_findings_are_refused(source, tmp_path):
    _save_masks(source, _masks_ras()[:2, ::-1, ::-1], _scan_affine(source))
    report = prepare(read_data_set(source), tmp_path / "store", Settings(), one_process)
    assert "3 findings" in report.excluded[0].message


def test_a_lost_sample_is_made_anew(as_stored, tmp_path):
    first = _sample(as_stored, tmp_path / "store")
    (tmp_path / "store" / "grounding" / "train" / "train_9_a_1.npz").unlink()
    again = _sample(as_stored, tmp_path / "store")
    assert np.array_equal(first.image, again.image)


def test_an_index_of_something_else_is_refused(as_stored):
    (as_stored / "dataset.json").write_text('{"train": [{"image": "x"}]}')
    with pytest.raises(UnknownDataSet, match=r"dataset\.json"):
        read_data_set(as_stored)


def test_masks_of_scans_that_are_not_there_are_said(as_stored):
    index = json.loads((as_stored / "dataset.json").read_text())
    index["val"] = [dict(index["train"][0], name="valid_3_a_1.nii.gz")]
    (as_stored / "dataset.json").write_text(json.dumps(index))
    (as_stored / "segmentations" / "valid_3_a_1.nii.gz").touch()
    assert any("valid_3_a_1" in remark for remark in read_data_set(as_stored).remarks)


def test_a_set_without_masks_is_ct_rate(source):
    with_index = read_data_set(source)
    (source / "dataset.json").unlink()
    assert with_index == read_data_set(source)
    assert all(v.masks is None for s in with_index.studies for v in s.volumes)
