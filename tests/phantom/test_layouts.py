"""Each data set's form: voxels where they belong, names and tables as the set has them, truth that reads back."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK
from hand_made_phantom import (
    EFFUSION,
    KIDNEYS,
    LOBE_BOXES,
    LOWER_NODULE,
    ORGANS,
    PRESENT,
    REPORT,
    SHAPE,
    SPACING_MM,
    STATEMENTS,
    UPPER_NODULE,
    hand_made_phantom,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.imaging.read import read_volume
from simcrop_core.phantom.layouts.catalogue import LAYOUTS
from simcrop_core.phantom.layouts.drawn import parts_of
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.rad_chestct import resampled
from simcrop_core.phantom.layouts.rad_chestct_labels import COLUMNS, positive_columns
from simcrop_core.phantom.layouts.record import read_records
from simcrop_core.phantom.layouts.runs import centre_mm, runs_of, turned
from simcrop_core.phantom.layouts.settings import Settings
from simcrop_core.phantom.layouts.truth_files import read_truth
from simcrop_core.phantom.layouts.write import write_drawn
from simcrop_core.phantom.truth import KIND_LABELS, LABELS, LOBES
from simcrop_core.text.ct_rate import CT_RATE_LABELS

PHANTOM = hand_made_phantom()
AXES = {"ct-rate": "LPS", "rexgrounding": "LPS", "luna16": "LPS", "btcv": "LAS", "cc-ccii": "SPL"}


def write(folder, layout, seeds=(7, 9), valid_percent=10):
    """The hand-made phantom under several seeds, with the set's tables; seeds 9, 19, … are held out."""
    kind = Settings(layout, valid_percent=valid_percent)
    records = [write_drawn(folder, kind, hand_made_phantom(seed)) for seed in seeds]
    LAYOUTS[layout].write_tables(folder, kind, records)
    return records


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def values_at(volume_voxels, affine, points):
    index = np.rint(nibabel.affines.apply_affine(np.linalg.inv(affine), points)).astype(int)
    return volume_voxels[tuple(index.T)]


@pytest.mark.parametrize("layout", AXES)
def test_every_voxel_reads_back_at_its_place_in_the_patient(layout, tmp_path):
    record = write(tmp_path, layout)[0]
    volume = read_volume(tmp_path / record.files[0])
    assert volume.orientation == AXES[layout]
    everywhere = np.argwhere(np.ones(SHAPE, dtype=bool))
    points = nibabel.affines.apply_affine(PHANTOM.affine, everywhere)
    np.testing.assert_array_equal(values_at(volume.voxels, volume.affine, points), PHANTOM.image.ravel())
    assert volume.voxels.dtype == np.int16


@pytest.mark.parametrize("layout", [name for name in AXES if name != "luna16"])
def test_nifti_headers_say_one_place_and_that_it_is_synthetic(layout, tmp_path):
    for file in write(tmp_path, layout)[0].files:
        if file.endswith(".nii.gz"):
            header = nibabel.load(tmp_path / file).header
            np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
            assert header["sform_code"] == header["qform_code"] == 1
            assert b"SYNTHETIC" in header["descrip"].item()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truth_reads_back_where_it_was_drawn(layout, tmp_path):
    record = write(tmp_path, layout)[0]
    truth = read_truth(tmp_path, record.scan)
    assert truth.record == record == read_records(tmp_path)[0]
    np.testing.assert_array_equal(truth.labels[::-1, ::-1], PHANTOM.labels)
    np.testing.assert_array_equal(truth.lobes[::-1, ::-1], PHANTOM.lobes)
    assert [s.text for s in truth.statements] == [s.text for s in STATEMENTS]
    for got, drawn in zip(truth.statements, STATEMENTS, strict=True):
        mask = np.zeros(SHAPE, dtype=bool)
        mask.ravel()[got.voxels] = True
        np.testing.assert_array_equal(np.flatnonzero(mask[::-1, ::-1]), drawn.voxels)
        assert (got.polarity, got.topic, got.side, got.lobe, got.size_mm) == (
            drawn.polarity, drawn.topic, drawn.side, drawn.lobe, drawn.size_mm,
        )  # fmt: skip
    left = np.argwhere(truth.labels == LABELS.index("left lung")).mean(axis=0)
    assert nibabel.affines.apply_affine(truth.affine, left)[0] < -10, "RAS: the patient's left is negative"
    assert record.statements[3].centre_ras_mm[0] < -10, "the left effusion"
    assert record.statements[0].centre_ras_mm == pytest.approx([18, 5.25, 19.5], abs=0.051)
    assert [s.mask for s in record.statements] == [0, 0, 1, 2, 2, 3, None, None, 4, 5]


def test_label_maps_of_the_truth_lie_on_the_scan_and_name_their_labels(tmp_path):
    record = write(tmp_path, "ct-rate")[0]
    scan, _, organs, lobes = (nibabel.load(tmp_path / file) for file in record.files[:4])
    for image, names in ((organs, LABELS), (lobes, LOBES)):
        np.testing.assert_allclose(image.affine, scan.affine)
        assert image.get_data_dtype() == np.uint8
        comment = image.header.extensions[0].get_content()
        comment = comment.decode() if isinstance(comment, bytes) else comment
        assert comment.split("\n") == [f"{n}: {name}" for n, name in enumerate(names)]


def test_ct_rate_has_its_folders_names_and_tables(tmp_path):
    records = write(tmp_path, "ct-rate")
    assert [record.files[0] for record in records] == [
        "dataset/train_fixed/train_7/train_7_a/train_7_a_1.nii.gz",
        "dataset/valid_fixed/valid_9/valid_9_a/valid_9_a_1.nii.gz",
    ]
    assert all(re.fullmatch(r"(train|valid)_(\d+)_([a-z]+)_(\d+)", record.scan) for record in records)
    top = tmp_path / "dataset"
    report = rows(top / "radiology_text_reports" / "train_reports.csv")
    assert report == [
        {
            "VolumeName": "train_7_a_1.nii.gz",
            "ClinicalInformation_EN": REPORT.clinical_information,
            "Technique_EN": REPORT.technique,
            "Findings_EN": REPORT.findings,
            "Impressions_EN": REPORT.impression,
        }
    ]
    labels = rows(top / "multi_abnormality_labels" / "valid_predicted_labels.csv")[0]
    assert list(labels) == ["VolumeName", *CT_RATE_LABELS]
    assert {label for label in CT_RATE_LABELS if labels[label] == "1"} == PRESENT
    metadata = rows(top / "metadata" / "validation_metadata.csv")[0]
    assert len(metadata) == 44
    assert metadata["Manufacturer"] == "SimCroP phantom"
    assert (metadata["PatientSex"], metadata["PatientAge"]) == ("F", "061Y")
    assert (metadata["Rows"], metadata["Columns"], metadata["NumberofSlices"]) == ("36", "40", "24")
    assert json.loads(metadata["XYSpacing"]) == [1.75, 2.0]
    first_voxel = SimpleITK.ReadImage(tmp_path / records[1].files[0]).GetOrigin()
    np.testing.assert_allclose(json.loads(metadata["ImagePositionPatient"]), first_voxel, atol=1e-3)


def test_ct_rate_has_a_label_map_by_the_numbers_and_names_of_total_segmentator(tmp_path):
    record = write(tmp_path, "ct-rate")[0]
    assert record.files[1] == record.files[0].replace("dataset/", "dataset/ts_seg/ts_total/")
    scan, organs = (nibabel.load(tmp_path / file) for file in record.files[:2])
    np.testing.assert_array_equal(organs.affine, scan.affine)
    drawn = np.asarray(organs.dataobj)[::-1, ::-1]
    for number, box in ((51, ORGANS["heart"]), (10, LOBE_BOXES["left upper lobe"]), (3, KIDNEYS["left kidney"])):
        assert (drawn[box] == number).mean() > 0.8  # one organ's box may reach into another's
    assert set(np.unique(drawn).tolist()) == {0, 1, 2, 3, 5, 10, 11, 12, 13, 14, 16, 51, 52}
    comment = organs.header.extensions[0].get_content()
    said = (comment.decode() if isinstance(comment, bytes) else comment).split("\n")
    assert {"0: background", "10: lung_upper_lobe_left", "51: heart", "15: esophagus"} <= set(said)


def test_an_empty_split_still_has_its_columns(tmp_path):
    write(tmp_path, "ct-rate", valid_percent=0)
    path = tmp_path / "dataset" / "radiology_text_reports" / "validation_reports.csv"
    assert path.read_text(encoding="utf-8").count("\n") == 1


def test_rad_chestct_is_sampled_at_0_8_mm_from_head_to_foot_front_to_back_right_to_left(tmp_path):
    """A scan whose HU are linear in the patient's millimetres shows where each sample is."""
    right, front, up = nibabel.affines.apply_affine(PHANTOM.affine, np.moveaxis(np.indices(SHAPE), 0, -1)).T
    slope = (2 * right + front - up).T
    ct = resampled(hand_made_phantom(image=slope.astype(np.int16)))
    assert ct.shape == tuple(int((n - 1) * mm / 0.8 + 1) for n, mm in zip(SHAPE, SPACING_MM, strict=True))[::-1]
    z, y, x = np.indices(ct.shape)
    corner = nibabel.affines.apply_affine(PHANTOM.affine, [SHAPE[0] - 1, SHAPE[1] - 1, 0])
    at = 2 * (corner[0] - 0.8 * x) + (corner[1] - 0.8 * y) - (corner[2] + 0.8 * (ct.shape[0] - 1 - z))
    np.testing.assert_allclose(ct, at, atol=2)  # HU are whole numbers, before and after
    path = tmp_path / write(tmp_path, "rad-chestct")[0].files[0]
    with np.load(path) as stored:
        assert stored.files == ["ct"]
        assert stored["ct"].dtype == np.int16
        assert (stored["ct"].min(), stored["ct"].max()) == (-1000, 1000)


# Which abnormality stands for which of CT-RATE's labels when both are measured together.
RAD_OF_CT_RATE = {
    "Medical material": "hardware", "Arterial wall calcification": "calcification", "Cardiomegaly": "cardiomegaly",
    "Pericardial effusion": "pericardial_effusion", "Coronary artery wall calcification": "calcification",
    "Hiatal hernia": "hernia", "Lymphadenopathy": "lymphadenopathy", "Emphysema": "emphysema",
    "Atelectasis": "atelectasis", "Lung nodule": "nodule", "Lung opacity": "opacity",
    "Pulmonary fibrotic sequela": "fibrosis", "Pleural effusion": "pleural_effusion",
    "Peribronchial thickening": "bronchial_wall_thickening", "Consolidation": "consolidation",
    "Bronchiectasis": "bronchiectasis", "Interlobular septal thickening": "septal_thickening",
}  # fmt: skip


def test_rad_chestct_labels_are_abnormality_by_location(tmp_path):
    records = write(tmp_path, "rad-chestct", seeds=(7, 9, 19))
    assert [record.scan for record in records] == ["trn00007", "val00009", "tst00019"]
    (row,) = rows(tmp_path / "imgtrain_Abnormality_and_Location_Labels.csv")
    assert row.pop("NoteAcc_DEID") == "trn00007"
    assert {column for column, value in row.items() if value == "1"} == {
        "nodule*lung", "nodule*right_lung", "nodule*right_upper", "nodulegr1cm*lung", "nodulegr1cm*right_lung",
        "nodulegr1cm*right_upper", "pleural_effusion*lung", "pleural_effusion*left_lung", "calcification*heart",
        "coronary_artery_disease*heart",
    }  # fmt: skip
    positive = {column.split("*")[0] for column, value in row.items() if value == "1"}
    assert all(RAD_OF_CT_RATE[label] in positive for label in PRESENT)
    columns = {column.split("*")[0] for column in row}
    assert set(RAD_OF_CT_RATE.values()) <= columns


def test_every_kind_of_finding_has_a_rad_chestct_abnormality_that_means_the_same():
    for kind, labels in KIND_LABELS.items():
        drawn = replace(PHANTOM, statements=(replace(STATEMENTS[0], topic=kind, text="A pacemaker."),))
        positive = positive_columns(drawn)
        assert positive <= set(COLUMNS)
        assert {RAD_OF_CT_RATE[label] for label in labels if label in RAD_OF_CT_RATE} <= {
            p.split("*")[0] for p in positive
        }


@pytest.mark.parametrize(
    ("words", "abnormality"),
    [
        ("Dual-chamber pacemaker on the left.", "pacemaker_or_defib"),
        ("Port catheter with its tip in the superior vena cava.", "catheter_or_port"),
        ("Sternotomy wires support the midline.", "sternotomy"),
        ("A feeding tube ends in the stomach.", "gi_tube"),
    ],
)
def test_a_device_is_hardware_and_what_its_words_say(words, abnormality):
    drawn = replace(PHANTOM, statements=(replace(STATEMENTS[0], topic="medical device", text=words, lobe=""),))
    assert positive_columns(drawn) == {"hardware*other_location", f"{abnormality}*other_location"}


def test_luna16_nodules_lie_where_world_coordinates_say(tmp_path):
    record = write(tmp_path, "luna16")[0]
    assert re.fullmatch(r"[0-9.]{10,64}", record.scan)
    assert record.files[0] == f"subset7/{record.scan}.mhd"
    found = [row for row in rows(tmp_path / "annotations.csv") if row["seriesuid"] == record.scan]
    assert len(found) == 2, "a sentence about both nodules does not make a third"
    image = SimpleITK.ReadImage(tmp_path / record.files[0])
    voxels = SimpleITK.GetArrayFromImage(image)
    for row, box in zip(found, (LOWER_NODULE, UPPER_NODULE), strict=True):
        centre = [float(row[name]) for name in ("coordX", "coordY", "coordZ")]
        x, y, z = image.TransformPhysicalPointToContinuousIndex(centre)
        whole = [(axis.start + axis.stop - 1) / 2 for axis in box]
        np.testing.assert_allclose([SHAPE[0] - 1 - x, SHAPE[1] - 1 - y, z], whole, atol=1e-3)
        ball_mm3 = np.pi / 6 * float(row["diameter_mm"]) ** 3
        assert ball_mm3 == pytest.approx(4 * np.prod(SPACING_MM), rel=1e-3)
    lungs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(tmp_path / record.files[2]))
    assert record.files[3].endswith(".zraw")
    assert lungs.shape == voxels.shape
    assert set(np.unique(lungs)) == {0, 3, 4, 5}
    right_to_left = [np.argwhere(lungs == value)[:, 2].mean() for value in (4, 5, 3)]
    assert right_to_left == sorted(right_to_left), "x of LPS grows to the patient's left: 3 is the left lung"


def test_cc_ccii_has_a_class_a_scan(tmp_path):
    layout, kind = LAYOUTS["cc-ccii"], Settings("cc-ccii")
    classes = {}
    for seed, topic in enumerate(("nodule", "consolidation", "ground-glass opacity")):
        drawn = replace(PHANTOM, seed=seed, statements=(replace(STATEMENTS[0], topic=topic),))
        classes[seed] = write_drawn(tmp_path, kind, drawn).row["class"]
    assert classes == {0: 0, 1: 1, 2: 2}
    layout.write_tables(tmp_path, kind, read_records(tmp_path))
    assert (tmp_path / "train_list.csv").read_text() == "img_list,label\n0.nii.gz,0\n1.nii.gz,1\n2.nii.gz,2\n"
    stored = np.asanyarray(nibabel.load(tmp_path / "images_resized" / "0.nii.gz").dataobj)
    slices_last = stored.transpose(1, 2, 0)
    np.testing.assert_array_equal(slices_last[0, 0], PHANTOM.image[-1, -1], "row 0 is in front, column 0 at the right")


def test_btcv_numbers_the_organs_that_are_drawn(tmp_path):
    records = write(tmp_path, "btcv")
    document = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert document["training"] == [{"image": "imagesTr/btcv_007.nii.gz", "label": "labelsTr/btcv_007.nii.gz"}]
    assert document["validation"] == [{"image": "imagesTr/btcv_009.nii.gz", "label": "labelsTr/btcv_009.nii.gz"}]
    assert len(document["labels"]) == 14
    image, labels = (nibabel.load(tmp_path / file) for file in records[0].files[:2])
    np.testing.assert_allclose(image.affine, labels.affine)
    organs = nibabel.as_closest_canonical(labels).get_fdata()
    names = {int(value): name for value, name in document["labels"].items()}
    assert {names[int(v)] for v in np.unique(organs)} == {
        "background", "spleen", "right kidney", "left kidney", "liver", "aorta",
    }  # fmt: skip
    for value, name in ((2, "right kidney"), (3, "left kidney")):
        mask = np.zeros(SHAPE, dtype=bool)
        mask[KIDNEYS[name]] = True
        np.testing.assert_array_equal(organs == value, mask)


def test_rexgrounding_has_a_mask_for_every_finding_of_lung_and_pleura(tmp_path):
    write(tmp_path, "rexgrounding")
    document = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    (entry,) = document["train"]
    assert entry["name"] == "train_7_a_1.nii.gz"
    assert entry["findings"] == {
        "0": "Nodule in the right upper lobe.", "1": "Nodules in the right lung.", "2": "Small left pleural effusion.",
    }  # fmt: skip
    assert entry["categories"] == {"0": "2d", "1": "2d", "2": "2e"}
    assert entry["entity_counts"] == {"0": 1, "1": 2, "2": 1}
    assert entry["shape"] == list(SHAPE)
    stored = nibabel.load(tmp_path / "segmentations" / entry["name"])
    masks = np.asanyarray(stored.dataobj)
    assert masks.shape == (3, *SHAPE)
    assert [int((mask > 0).sum()) for mask in masks] == list(entry["pixels"].values())
    assert [int(mask.max()) for mask in masks] == list(entry["entity_counts"].values())
    drawn = np.zeros(SHAPE, dtype=bool)
    drawn[EFFUSION] = True
    np.testing.assert_array_equal(masks[2, ::-1, ::-1] > 0, drawn)
    ct = nibabel.load(tmp_path / "dataset/train_fixed/train_7/train_7_a" / entry["name"])
    np.testing.assert_allclose(stored.affine, ct.affine)


def test_a_scan_without_such_a_finding_has_no_mask(tmp_path):
    drawn = replace(PHANTOM, statements=STATEMENTS[5:])
    record = write_drawn(tmp_path, Settings("rexgrounding"), drawn)
    assert record.row == {}
    assert not (tmp_path / "segmentations").exists()


@pytest.mark.parametrize("percent", [0, 10, 29, 100])
def test_the_held_out_share_is_kept_whatever_the_seeds(percent):
    kind = Settings("ct-rate", valid_percent=percent)
    for first in (0, 1, 1234):
        held_out = sum(kind.split(seed) == "valid" for seed in range(first, first + 100))
        assert held_out == percent


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_runs_hold_exactly_their_voxels(data):
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(3))
    voxels = data.draw(st.lists(st.integers(0, int(np.prod(shape)) - 1)))
    mask = np.zeros(shape, dtype=bool)
    mask.ravel()[voxels] = True
    runs = runs_of(np.array(voxels, dtype=np.int32), shape)
    np.testing.assert_array_equal(runs.voxels, np.flatnonzero(mask))
    np.testing.assert_array_equal(turned(runs, shape).voxels, np.flatnonzero(mask[::-1, ::-1]))
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    if voxels:
        middle = np.argwhere(mask).mean(axis=0) * [2, 3, 5]
        np.testing.assert_allclose(centre_mm(runs, shape, affine), middle, atol=0.051)
    else:
        assert centre_mm(runs, shape, affine) is None


@settings(max_examples=30, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_turning_axes_moves_no_voxel(order, flips):
    axes = "".join(pair[flip] for pair, flip in zip(("RL", "AP", "SI"), flips, strict=True))
    axes = "".join(axes[i] for i in order)
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.array([[1.5, 0, 0, -9], [0, 2, 0, 4], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    moved, moved_affine = oriented(voxels, affine, axes)
    assert "".join(nibabel.aff2axcodes(moved_affine)) == axes
    points = nibabel.affines.apply_affine(affine, np.argwhere(voxels >= 0))
    np.testing.assert_array_equal(values_at(moved, moved_affine, points), voxels.ravel())


def test_parts_touch_at_corners_and_nowhere_else():
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 4] = True
    parts = parts_of(np.flatnonzero(mask).astype(np.int32), mask.shape)
    assert [part.tolist() for part in parts] == [[0, 43], [172]]
    assert parts_of(np.zeros(0, dtype=np.int32), mask.shape) == []
