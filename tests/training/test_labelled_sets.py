"""Labelled sets in the layouts they are published in: which scans, which labels, and every voxel where it belongs."""

from __future__ import annotations

import csv
import shutil

import nibabel
import numpy as np
import pytest
from ct_rate_files import CtRateFolder, save
from hand_made_phantom import PRESENT, SPACING_MM, hand_made_phantom
from simcrop_training.datasets.btcv import read_btcv, read_decathlon
from simcrop_training.datasets.cc_ccii import read_cc_ccii
from simcrop_training.datasets.ct_rate_labelled import read_ct_rate_labels
from simcrop_training.datasets.labelled import LabelledScan, require_files
from simcrop_training.datasets.luna16 import read_luna16, read_luna16_lungs
from simcrop_training.datasets.rad_chestct import RAD_CHESTCT_LABELS, read_rad_chestct
from simcrop_training.evaluate.scan_volumes import mask_of, volume_of

from simcrop_core.errors import BrokenGeometry, NotASingleVolume, NotHounsfield, UnknownDataSet, UnreadableFile
from simcrop_core.phantom.layouts.catalogue import LAYOUTS
from simcrop_core.phantom.layouts.drawn import organ_map
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.settings import Settings
from simcrop_core.phantom.layouts.write import write_drawn
from simcrop_core.phantom.truth import LABELS
from simcrop_core.text.ct_rate import CT_RATE_LABELS

# A value of its own chance for each voxel, within what a bare array keeps; none that a scanner stores before rescale.
IMAGE = np.random.default_rng(1).integers(-1000, 800, (40, 36, 24)).astype(np.int16)
PHANTOM = hand_made_phantom(image=IMAGE)
SEEDS = (7, 9, 19)  # by layout: trains, and the first two that are held out


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every layout's folder of three phantoms, by the layout's name."""
    made = {}
    for layout in ("ct-rate", "rad-chestct", "cc-ccii", "luna16", "btcv"):
        folder, kind = tmp_path_factory.mktemp(layout), Settings(layout)
        records = [write_drawn(folder, kind, hand_made_phantom(seed, IMAGE)) for seed in SEEDS]
        LAYOUTS[layout].write_tables(folder, kind, records)
        made[layout] = folder
    return made


@pytest.fixture
def own(folders, tmp_path):
    """A copy of a layout's folder that a test may change."""
    return lambda layout: shutil.copytree(folders[layout], tmp_path / layout)


def upright(volume):
    """Voxels along RAS axes, and their spacing there."""
    voxels, affine = oriented(volume.voxels, volume.affine, "RAS")
    return voxels, np.abs(np.diag(affine)[:3])


def splits(data):
    return [scan.split for scan in data.scans]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path, rows, columns=None):
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns or list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.mark.parametrize("layout", ["ct-rate", "cc-ccii", "luna16", "btcv"])
def test_every_voxel_of_a_scan_is_read_where_it_was_drawn(folders, layout):
    read = {"ct-rate": read_ct_rate_labels, "cc-ccii": read_cc_ccii, "luna16": read_luna16, "btcv": read_btcv}[layout]
    data = read(folders[layout])
    require_files(data.scans)
    assert len(data.scans) == len(SEEDS)
    voxels, spacing = upright(volume_of(data.scans[0]))
    assert np.array_equal(voxels, IMAGE)
    assert np.allclose(spacing, SPACING_MM)


# CT-RATE


def test_ct_rate_has_eighteen_labels_and_tests_on_held_out_patients(folders):
    data = read_ct_rate_labels(folders["ct-rate"])
    assert [scan.name for scan in data.scans] == ["train_7_a_1", "valid_9_a_1", "valid_19_a_1"]
    assert splits(data) == ["train", "test", "test"]
    assert data.scans[0].patient == "train_7"
    assert {label for label, value in zip(data.labels, data.scans[0].labels, strict=True) if value == 1} == PRESENT
    assert data.labels == CT_RATE_LABELS


def test_ct_rate_needs_no_reports_and_says_what_it_does_not_know(own):
    folder = own("ct-rate")
    shutil.rmtree(folder / "dataset" / "radiology_text_reports")
    path = folder / "dataset" / "multi_abnormality_labels" / "train_predicted_labels.csv"
    rows = rows_of(path)
    rows[0] |= {"Emphysema": "", "Hiatal hernia": "nan"}
    empty = dict.fromkeys(CT_RATE_LABELS, "") | {"VolumeName": "train_8_a_1.nii.gz"}
    gone = {**rows[0], "VolumeName": "train_6_a_1.nii.gz"}
    write_rows(path, [*rows, empty, gone])
    image = folder / "dataset" / "train_fixed" / "train_8" / "train_8a" / "train_8_a_1.nii.gz"
    image.parent.mkdir(parents=True)
    image.touch()
    data = read_ct_rate_labels(folder)
    said = dict(zip(data.labels, data.scans[0].labels, strict=True))
    assert (said["Emphysema"], said["Hiatal hernia"], said["Lung nodule"], said["Atelectasis"]) == (-1, -1, 1, 0)
    assert {note.name: note.code for note in data.left_out} == {"train_8_a_1": "no-labels", "train_6_a_1": "no-file"}


def test_ct_rate_of_either_release_and_preprocessed(tmp_path):
    made = CtRateFolder(tmp_path)
    stored = (IMAGE + 1024).astype(np.int16)
    # Release 1: stored numbers and a header that is wrong; what they mean is in the table.
    save(made.scan("train_1_a_1", release=1, XYSpacing="[2, 1.5]", ZSpacing="3"), stored, np.diag([9.0, 9, 9, 1]))
    save(made.scan("train_2_a_1", flat_study=True, XYSpacing="[2, 2]", ZSpacing="3"), IMAGE, np.diag([-2.0, -2, 3, 1]))
    made.scan("train_3_a_1", file=False)
    made.scan("valid_4_a_1", file=False)
    folder = made.write()
    save(folder / "train_preprocessed/train_3/train_3a/train_3_a_1.nii.gz", IMAGE, np.eye(4))
    save(folder / "valid_preprocessed/valid_4/valid_4a/valid_4_a_1.nii.gz", IMAGE, np.diag([1.5, 1.5, 3, 1]))
    data = read_ct_rate_labels(folder)
    volumes = [volume_of(scan) for scan in data.scans]
    assert [volume.spacing_mm for volume in volumes] == [(1.5, 2, 3), (2, 2, 3), (1.5, 1.5, 3), (1.5, 1.5, 3)]
    assert [volume.orientation for volume in volumes] == ["LPS", "LPS", "LPS", "RAS"]
    assert all(np.array_equal(volume.voxels, IMAGE) for volume in volumes)
    assert any("taken for granted" in remark for remark in data.remarks)


def test_a_folder_without_labels_is_no_labelled_set(tmp_path):
    for read in (read_ct_rate_labels, read_rad_chestct, read_cc_ccii, read_luna16, read_luna16_lungs, read_btcv):
        with pytest.raises(UnknownDataSet) as fault:
            read(tmp_path)
        assert fault.value.hint


# RAD-ChestCT


def test_a_bare_array_is_turned_upright(folders):
    """Against SimpleITK: the phantom interpolated at 0.8 mm, from its lowest, rightmost front voxel's place on."""
    (scan, *_) = read_rad_chestct(folders["rad-chestct"]).scans
    volume = volume_of(scan)
    assert volume.orientation == "LPS"
    assert np.allclose(volume.spacing_mm, 0.8)
    voxels, _ = upright(volume)
    # Voxel (x, y, z) of the phantom lies on a point of the finer grid where both steps meet: every 2 mm and 0.8 mm.
    lps, expected = voxels[::-1, ::-1], IMAGE[::-1, ::-1]
    assert np.abs(lps[::5, 0, 0].astype(int) - expected[::2, 0, 0]).max() <= 1
    assert np.abs(lps[0, 0, ::15].astype(int) - expected[0, 0, ::4][: len(lps[0, 0, ::15])]).max() <= 1


def test_rad_chestct_labels_are_any_location_and_the_released_map_copies_one(folders):
    data = read_rad_chestct(folders["rad-chestct"])
    assert [(scan.name, scan.split) for scan in data.scans] == [
        ("trn00007", "train"), ("val00009", "valid"), ("tst00019", "test")
    ]  # fmt: skip
    said = dict(zip(data.labels, data.scans[0].labels, strict=True))
    assert {label for label, value in said.items() if value} == {"Lung nodule", "Pleural effusion", "Calcification"}
    released = read_rad_chestct(folders["rad-chestct"], label_map="simcrop_released", held_out="simcrop_released")
    said = dict(zip(released.labels, released.scans[0].labels, strict=True))
    assert said["Pericardial effusion"] == said["Pleural effusion"] == 1
    assert [(scan.name, scan.split) for scan in released.scans[1:]] == [("val00009", "test"), ("tst00019", "valid")]
    assert any("copy" in remark for remark in released.remarks)
    assert not any("copy" in remark for remark in data.remarks)


def test_every_label_of_rad_chestct_comes_from_its_own_columns(own):
    """One scan a label, positive in one location of one abnormality of the published map."""
    meanings = {
        "Medical material": "tracheal_tube*airways", "Calcification": "calcification*aorta",
        "Cardiomegaly": "cardiomegaly*heart", "Pericardial effusion": "pericardial_effusion*heart",
        "Hiatal hernia": "hernia*esophagus", "Lymphadenopathy": "lymphadenopathy*hilum",
        "Emphysema": "emphysema*left_upper", "Atelectasis": "atelectasis*right_lower", "Lung nodule": "nodule*lung",
        "Lung opacity": "opacity*right_mid", "Pulmonary fibrotic sequela": "fibrosis*lung",
        "Pleural effusion": "pleural_effusion*left", "Peribronchial thickening": "bronchial_wall_thickening*airways",
        "Consolidation": "consolidation*lung", "Bronchiectasis": "bronchiectasis*lung",
        "Interlobular septal thickening": "septal_thickening*lung",
    }  # fmt: skip
    others = ["nodulegr1cm*lung", "pacemaker_or_defib*heart", "pleural_thickening*lung", "groundglass*lung"]
    folder = own("rad-chestct")
    path = folder / "imgtrain_Abnormality_and_Location_Labels.csv"
    columns = list(rows_of(path)[0])
    names = [f"trn{number:05d}" for number in range(1, len(meanings) + len(others) + 1)]
    rows = [
        {"NoteAcc_DEID": name, **dict.fromkeys(columns[1:], "0"), positive: "1"}
        for name, positive in zip(names, [*meanings.values(), *others], strict=True)
    ]
    write_rows(path, rows, columns)
    for name in set(names) - {"trn00007"}:
        shutil.copy(folder / "trn00007.npz", folder / f"{name}.npz")
    data = read_rad_chestct(folder)
    labels = np.array([scan.labels for scan in data.of("train")])
    assert data.labels == tuple(meanings) == RAD_CHESTCT_LABELS
    assert np.array_equal(labels[: len(meanings)], np.eye(len(meanings), dtype=int))
    assert not labels[len(meanings) :].any()


def test_a_table_without_an_abnormality_is_refused(own):
    folder = own("rad-chestct")
    path = folder / "imgvalid_Abnormality_and_Location_Labels.csv"
    rows = [{k: v for k, v in row.items() if not k.startswith("emphysema*")} for row in rows_of(path)]
    write_rows(path, rows)
    with pytest.raises(UnknownDataSet, match="Emphysema"):
        read_rad_chestct(folder)


@pytest.mark.parametrize("fault", ["cut", "text", "no array", "flat", "thin", "words"])
def test_a_bad_array_is_a_named_fault(own, fault):
    folder = own("rad-chestct")
    (scan, *_) = read_rad_chestct(folder).scans
    match fault:
        case "cut":
            scan.path.write_bytes(scan.path.read_bytes()[:-2000])
        case "text":
            scan.path.write_text("not found")
        case "no array":
            np.savez(scan.path, image=IMAGE)
        case "flat":
            np.savez(scan.path, ct=IMAGE[0])
        case "thin":
            np.savez(scan.path, ct=IMAGE[:2])
        case "words":
            np.savez(scan.path, ct=np.full((9, 9, 9), "a"))
    with pytest.raises(NotASingleVolume if fault in ("flat", "thin") else UnreadableFile):
        volume_of(scan)


# CC-CCII


def test_cc_ccii_has_one_class_a_scan_and_tests_on_its_validation_scans(folders):
    data = read_cc_ccii(folders["cc-ccii"])
    assert data.classes
    assert len(data.labels) == 3
    assert [(scan.name, scan.split, scan.labels) for scan in data.scans] == [
        ("7", "train", (0,)), ("9", "test", (0,)), ("19", "test", (0,))
    ]  # fmt: skip
    assert any(remark.startswith("2 scans of the validation list") for remark in data.remarks)


def test_slices_that_come_first_go_last(folders, tmp_path):
    """As the released code does; where a header says nothing, at the spacing that it takes for granted."""
    (scan, *_) = read_cc_ccii(folders["cc-ccii"]).scans
    volume = volume_of(scan)
    assert volume.orientation == "PLS"
    stored = np.asanyarray(nibabel.load(scan.path).dataobj)
    assert np.array_equal(volume.voxels, stored.transpose(1, 2, 0))
    save(tmp_path / "bare.nii.gz", stored, np.eye(4))
    bare = volume_of(LabelledScan("bare", "bare", tmp_path / "bare.nii.gz", "train", (0,), "slices-first"))
    assert bare.spacing_mm == (1.5, 1.5, 3.0)
    assert np.array_equal(upright(bare)[0], IMAGE)


def test_pictures_of_eight_bits_need_their_window(own):
    folder = own("cc-ccii")
    (scan, *_) = read_cc_ccii(folder).scans
    pictures = np.clip((IMAGE.astype(float) + 1000) / 2000 * 255, 0, 255).round().astype(np.uint8)
    save(scan.path, oriented(pictures, np.eye(4), "SPL")[0], np.eye(4))
    with pytest.raises(NotHounsfield):
        volume_of(scan)
    (windowed, *_) = read_cc_ccii(folder, window_hu=(-1000, 1000)).scans
    assert np.abs(upright(volume_of(windowed))[0] - IMAGE).max() <= 2000 / 255 / 2 + 1


@pytest.mark.parametrize("text", ["img_list,label\n7.nii.gz,3\n", "img_list,label\n7.nii.gz,\n", "img_list\n7.nii.gz\n",
                                  "image,label\n7.nii.gz,1\n", "img_list,a,b\n7.nii.gz,1,0\n"])  # fmt: skip
def test_a_list_that_tells_no_class_is_refused(own, text):
    folder = own("cc-ccii")
    (folder / "train_list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UnknownDataSet):
        read_cc_ccii(folder)


# LUNA16


def test_luna16_tells_scans_with_an_annotated_nodule(own):
    folder = own("luna16")
    path = folder / "annotations.csv"
    rows = rows_of(path)
    without, absent = rows[0]["seriesuid"], "1.2.3"
    write_rows(path, [*(r for r in rows if r["seriesuid"] != without), {**rows[0], "seriesuid": absent}])
    data = read_luna16(folder)
    assert {scan.name: scan.labels for scan in data.scans if scan.labels == (0,)} == {without: (0,)}
    assert [note.name for note in data.left_out] == [absent]
    assert sorted(splits(data)) == ["test", "train", "train"]


def test_lung_masks_are_numbered_anew_on_the_voxels_of_their_scan(folders):
    data = read_luna16_lungs(folders["luna16"])
    (scan, *_) = data.scans
    volume = volume_of(scan)
    mask = oriented(mask_of(scan, volume), volume.affine, "RAS")[0]
    drawn = {name: LABELS.index(name) for name in data.labels[1:]}
    for number, name in enumerate(data.labels[1:], start=1):
        assert np.array_equal(mask == number, PHANTOM.labels == drawn[name])
    assert mask.max() == 3


# BTCV and the like


def test_btcv_has_thirteen_organs_turned_as_its_scans(folders):
    data = read_btcv(folders["btcv"])
    assert [(scan.name, scan.split) for scan in data.scans] == [
        ("btcv_007", "train"), ("btcv_009", "test"), ("btcv_019", "test")
    ]  # fmt: skip
    assert any("validation is tested on" in remark for remark in data.remarks)
    volume = volume_of(data.scans[0])
    mask = oriented(mask_of(data.scans[0], volume), volume.affine, "RAS")[0]
    assert np.array_equal(mask, organ_map(PHANTOM, {name: n for n, name in enumerate(data.labels) if n}))


def test_without_a_list_btcv_is_split_by_number(tmp_path):
    for number in (1, 10, 11, 20, 21, 34, 35, 40, 41):
        for path in (f"imagesTr/img{number:04d}.nii.gz", f"labelsTr/label{number:04d}.nii.gz"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).touch()
    data = read_btcv(tmp_path)
    assert [scan.name[-2:] for scan in data.of("train")] == ["01", "10", "21", "34"]
    assert [scan.name[-2:] for scan in data.of("test")] == ["35", "40"]
    require_files(data.scans)


def test_any_list_in_the_decathlons_form(tmp_path):
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "dataset.json"
    path.write_text(
        """{"name": "Toy", "labels": {"1": "lung", "0": "background"},
        "training": [{"image": "a.nii.gz", "label": "la.nii.gz"}, {"image": "b.nii", "label": "lb.nii"}],
        "validation": [{"image": "c.nii.gz", "label": "lc.nii.gz"}],
        "testing": [{"image": "c.nii.gz", "label": "lc.nii.gz"}, {"image": "d.nii.gz", "label": "ld.nii.gz"}],
        "test": ["e.nii.gz"]}""",
        encoding="utf-8",
    )
    data = read_decathlon(path, data=tmp_path)
    assert (data.name, data.labels) == ("Toy", ("background", "lung"))
    assert [(scan.name, scan.split) for scan in data.scans] == [
        ("a", "train"), ("b", "train"), ("c", "valid"), ("d", "test")
    ]  # fmt: skip
    assert data.scans[1].mask == tmp_path / "lb.nii"
    assert [(note.name, note.code) for note in data.left_out] == [
        ("c", "duplicate"), ("e", "no-labels")
    ]  # fmt: skip
    for text in ("{", "[]", '{"labels": {"0": "a"}}', '{"labels": {"0": "a"}, "training": [{"label": "l.nii"}]}',
                 '{"training": [{"image": "a.nii", "label": "b.nii"}]}'):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        with pytest.raises((UnknownDataSet, UnreadableFile)):
            read_decathlon(path)


def test_a_mask_on_another_grid_is_refused(own):
    folder = own("btcv")
    (scan, *_) = read_btcv(folder).scans
    save(scan.mask, np.zeros((30, 30, 30), np.uint8), np.eye(4))
    with pytest.raises(BrokenGeometry):
        mask_of(scan, volume_of(scan))


def test_missing_files_are_counted_and_named_before_anything_is_read(tmp_path):
    scans = [LabelledScan(f"s{n}", f"s{n}", tmp_path / f"s{n}.nii.gz", "train", ()) for n in range(30)]
    for scan in scans[:5]:
        scan.path.touch()
    with pytest.raises(UnreadableFile, match=r"25 of 30 .*s5\.nii\.gz.* and 15 more") as fault:
        require_files(scans)
    assert "s15" not in fault.value.message
    require_files(scans[:5])
