"""Label maps of organs from a data set into the store and out of it, beside the voxels that they are of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from ct_rate_files import CtRateFolder, save, save_lps
from simcrop_training.data.anatomies import label_classes, total_segmentator_classes
from simcrop_training.data.store_source import CropSettings, StoreSource
from simcrop_training.datasets.find import read_data_set
from simcrop_training.engine.errors import NoOrganMaps
from simcrop_training.prepare.run import prepare
from simcrop_training.store.files import organs_path
from simcrop_training.store.store import Store
from store_making import MINILM, QUICK, content_of, one_process

from simcrop_core.errors import DamagedStore
from simcrop_core.export.nifti import write_labelmap

LUNG, HEART, AORTA = 10, 51, 52
STATED = {"XYSpacing": "[4, 4]", "ZSpacing": "4"}


def map_path(scan: Path) -> Path:
    """Where CT-RATE has the label map of a scan."""
    parts = list(scan.parts)
    place = parts.index("dataset") + 1
    return Path(*parts[:place], "ts_seg", "ts_total", *parts[place:])


def organs_of(chest):
    """Any labels that differ along every axis; not an anatomy."""
    x, y, z = np.indices(chest.shape)
    return np.select([x < 40, (y > 30) & (z > 50), (x + 2 * y + 3 * z) % 17 == 0], [LUNG, HEART, AORTA]).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory, coarse_chest):
    """Three scans; the first two have label maps."""
    made = CtRateFolder(tmp_path_factory.mktemp("labelled"))
    for number in (1, 2, 3):
        chest = np.roll(coarse_chest, number, axis=2)
        path = made.scan(f"train_{number}_a_1", findings="Lungs are clear.", **STATED)
        save_lps(path, chest, (4, 4, 4))
        if number < 3:
            save_lps(map_path(path), np.roll(organs_of(chest), number, axis=1), (4, 4, 4))
    return made.write()


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "store"
    prepare(read_data_set(source), folder, QUICK, one_process, encoders=[MINILM])
    return folder


@pytest.fixture
def own(source, tmp_path):
    """A copy of the source that a test may change, and its first scan."""
    copy = Path(shutil.copytree(source, tmp_path / "source"))
    return copy, copy / "dataset/train_fixed/train_1/train_1_a/train_1_a_1.nii.gz"


def stored(folder, number):
    store = Store.open(folder)
    volume = next(v for v in store.volumes if v.name == f"train_{number}_a_1")
    return store, volume


def nearest(path: Path, affine, shape) -> np.ndarray:
    """A label map on the stored voxels, by SimpleITK."""
    grid = sitk.Image([int(n) for n in shape], sitk.sitkUInt8)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.array(affine)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    grid.SetOrigin(lps[:3, 3].tolist())
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    resampled = sitk.Resample(sitk.ReadImage(str(path)), grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(resampled).T


@pytest.mark.parametrize("number", [1, 2])
def test_labels_lie_on_the_voxels_of_their_scan(source, folder, number):
    store, volume = stored(folder, number)
    scan = source / f"dataset/train_fixed/train_{number}/train_{number}_a/train_{number}_a_1.nii.gz"
    labels = store.organs(volume, (0, 0, 0), volume.shape).labels
    expected = nearest(map_path(scan), volume.affine, volume.shape)
    assert {LUNG, HEART, AORTA} <= set(np.unique(expected).tolist())
    to_voxel = np.linalg.inv(nibabel.load(scan).affine) @ np.array(volume.affine)
    at = to_voxel[:3, :3] @ np.indices(volume.shape).reshape(3, -1) + to_voxel[:3, 3:]
    # Of a point in the middle of two voxels either is nearest.
    clear = (np.abs(at % 1 - 0.5) > 0.01).all(axis=0).reshape(volume.shape)
    assert clear.mean() > 0.1
    np.testing.assert_array_equal(labels[clear], expected[clear])


def test_a_crop_has_the_labels_of_its_voxels(folder):
    store, volume = stored(folder, 1)
    whole = store.organs(volume, (0, 0, 0), volume.shape).labels
    start, shape = (3, 5, 2), (20, 16, 12)
    crop = store.organs(volume, start, shape)
    np.testing.assert_array_equal(crop.labels, whole[3:23, 5:21, 2:14])
    assert (crop.first, crop.end) == ((0, 0, 0), shape)
    assert crop.names == label_classes()
    beyond = store.organs(volume, (-4, 0, volume.shape[2] - 5), shape)
    assert (beyond.first, beyond.end) == ((4, 0, 0), (20, 16, 5))
    assert not beyond.labels[:4].any()
    assert not beyond.labels[:, :, 5:].any()


def test_a_scan_without_a_label_map_is_stored_without_one(folder):
    store, volume = stored(folder, 3)
    assert volume.organs is None
    assert store.organs(volume, (0, 0, 0)) is None


def test_label_maps_change_nothing_else_of_a_store(source, folder, tmp_path, own):
    copy, _ = own
    shutil.rmtree(copy / "dataset/ts_seg")
    prepare(read_data_set(copy), tmp_path / "store", QUICK, one_process, encoders=[MINILM])
    with_maps, without = content_of(folder), content_of(tmp_path / "store")
    volumes = {name for name in without if name.startswith("volumes/")}
    assert {name: with_maps[name] for name in volumes} == {name: without[name] for name in volumes}
    line = json.loads(next(v for k, v in without.items() if "studies" in k).splitlines()[0])
    assert len(line["volumes"][0]) == 6  # as before there were label maps


def test_adding_a_label_map_prepares_its_scan_alone(own, folder, tmp_path):
    copy, first = own
    store = Path(shutil.copytree(folder, tmp_path / "store"))
    third = Path(str(first).replace("train_1", "train_3"))
    save_lps(map_path(third), organs_of(np.zeros((100, 72, 84))), (4, 4, 4))
    report = prepare(read_data_set(copy), store, QUICK, one_process)
    assert (report.prepared, report.skipped) == (1, 2)
    assert all(volume.organs for volume in Store.open(store).volumes)


def test_lost_and_damaged_label_maps_are_named_and_made_anew(source, folder, tmp_path):
    store = Path(shutil.copytree(folder, tmp_path / "store"))
    lost, flipped = (organs_path(store, stored(folder, n)[1].organs.digest) for n in (1, 2))
    lost.unlink()
    with pytest.raises(DamagedStore, match=lost.name):
        Store.open(store)
    assert prepare(read_data_set(source), store, QUICK, one_process).prepared == 1
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    with pytest.raises(DamagedStore, match=flipped.name):
        Store.open(store).verify()
    assert prepare(read_data_set(source), store, QUICK, one_process, verify=True).prepared == 1
    Store.open(store).verify()


def other_grid(path: Path) -> None:
    save(path, np.zeros((10, 10, 10), np.uint8), np.diag([-4.0, -4, 4, 1]))


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def fractions(path: Path) -> None:
    save_lps(path, np.full((100, 72, 84), 300, np.int16), (4, 4, 4))


@pytest.mark.parametrize("spoil", [other_grid, nothing, fractions])
def test_a_label_map_that_cannot_be_used_is_said_and_its_scan_kept(own, tmp_path, spoil):
    copy, first = own
    spoil(map_path(first))
    report = prepare(read_data_set(copy), tmp_path / "store", QUICK, one_process)
    assert [(note.name, note.code) for note in report.warned] == [("train_1_a_1", "organs")]
    assert stored(tmp_path / "store", 1)[1].organs is None
    assert stored(tmp_path / "store", 2)[1].organs is not None


def test_labels_are_known_by_the_names_in_the_file_not_by_their_numbers(own, tmp_path, coarse_chest):
    """Numbers of TotalSegmentator v1, with names as its program writes them; and names as ours does."""
    copy, first = own
    second = Path(str(first).replace("train_1", "train_2"))
    labels = organs_of(coarse_chest)
    v1 = np.select([labels == LUNG, labels == HEART, labels == AORTA], [13, 99, 7]).astype(np.uint8)
    image = nibabel.Nifti1Image(v1[::-1, ::-1], np.diag([-4.0, -4, 4, 1]))
    names = {13: "lung_upper_lobe_left", 99: "something else", 7: "aorta"}
    tags = "".join(
        f'<Label Key="{n}" Red="1" Green="2" Blue="3" Alpha="1">{name}</Label>\n' for n, name in names.items()
    )
    xml = f'<?xml version="1.0"?><CaretExtension><LabelTable>{tags}</LabelTable></CaretExtension>'
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    nibabel.save(image, map_path(first))
    write_labelmap(
        map_path(second), (labels > 0).astype(np.uint8)[::-1, ::-1], np.diag([-4.0, -4, 4, 1]), {1: "left lung"}
    )
    prepare(read_data_set(copy), tmp_path / "store", QUICK, one_process)
    found = []
    for number in (1, 2):
        store, volume = stored(tmp_path / "store", number)
        found.append(set(np.unique(store.organs(volume, (0, 0, 0), volume.shape).labels).tolist()))
    assert found == [{0, LUNG, AORTA}, {0, label_classes().index("left lung")}]
    assert total_segmentator_classes()[LUNG] == "lung_upper_lobe_left"


def test_pairs_have_the_labels_of_their_frame(folder):
    source = StoreSource(Store.open(folder), MINILM, split="train", seed=4, organs=True)
    assert source.pairs == 2  # the third scan has no label map
    for ordinal in range(4):
        pair = source.pair(ordinal)
        assert pair.organs.labels.shape == pair.image.shape
        assert pair.study in ("train_1_a", "train_2_a")
        box = tuple(map(slice, pair.organs.first, pair.organs.end))
        outside = np.ones(pair.image.shape, bool)
        outside[box] = False
        assert not pair.organs.labels[outside].any()
    assert StoreSource(Store.open(folder), MINILM, split="train", seed=4).pair(0).organs is None


def test_asking_for_label_maps_does_not_change_the_frames(folder):
    store = Store.open(folder)
    with_maps = StoreSource(store, MINILM, split="train", seed=4, organs=True, crop=CropSettings(unit="study"))
    names = {with_maps.pair(ordinal).study: with_maps.pair(ordinal).image for ordinal in range(2)}
    still = CropSettings(jitter=(0, 0, 0), shift_hu=0.0)
    for ordinal in range(2):
        pair = StoreSource(store, MINILM, split="train", seed=4, organs=True, crop=still).pair(ordinal)
        volume = next(s for s in store.studies if s.key == pair.study).volumes[0]
        np.testing.assert_array_equal(pair.image, store.crop(volume, volume.frame_start))
        np.testing.assert_array_equal(pair.organs.labels, store.organs(volume, volume.frame_start).labels)
    assert len(names) == 2


def test_a_store_without_label_maps_is_refused_by_name(own, tmp_path):
    copy, _ = own
    shutil.rmtree(copy / "dataset/ts_seg")
    prepare(read_data_set(copy), tmp_path / "store", QUICK, one_process, encoders=[MINILM])
    with pytest.raises(NoOrganMaps, match="no scan") as fault:
        StoreSource(Store.open(tmp_path / "store"), MINILM, split="train", seed=4, organs=True)
    assert "ts_seg" in fault.value.hint


def test_a_table_of_ones_own_may_name_label_maps(tmp_path, coarse_chest):
    save_lps(tmp_path / "ct.nii.gz", coarse_chest, (4, 4, 4))
    save_lps(tmp_path / "organs.nii.gz", organs_of(coarse_chest), (4, 4, 4))
    rows = ["path,findings,impression,split,organs", "ct.nii.gz,Lungs are clear.,,train,organs.nii.gz"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    prepare(read_data_set(tmp_path / "pairs.csv"), tmp_path / "store", QUICK, one_process)
    store = Store.open(tmp_path / "store")
    organs = store.organs(store.volumes[0], (0, 0, 0), store.volumes[0].shape)
    assert {LUNG, HEART, AORTA} <= set(np.unique(organs.labels).tolist())
