"""CT-RATE's names, folders, tables and known faults, each as docs/training-data.md states it."""

from __future__ import annotations

import pytest
from ct_rate_files import LABELS, CtRateFolder
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.datasets.ct_rate import MIXED_BODY, NEVER_PUBLISHED, NO_SPACING, read_ct_rate
from simcrop_training.datasets.ct_rate_names import ScanName, parse_scan_name
from simcrop_training.datasets.ct_rate_tables import numbers
from simcrop_training.datasets.find import read_data_set
from simcrop_training.datasets.study import Rescale

from simcrop_core.errors import UnknownDataSet, UnreadableFile

_NAMES = st.builds(
    ScanName,
    st.sampled_from(["train", "valid"]),
    st.integers(1, 30_000),
    st.text("abcdef", min_size=1, max_size=2),
    st.integers(1, 9),
)


@pytest.fixture
def ct_rate(tmp_path):
    return CtRateFolder(tmp_path)


def _left_out(data):
    return {note.name: note.code for note in data.left_out}


def _scans(data):
    return [volume.name for study in data.studies for volume in study.volumes]


@settings(max_examples=50, deadline=None)
@given(_NAMES)
def test_a_file_name_says_split_patient_scan_and_reconstruction(name):
    assert parse_scan_name(name.file_name) == name
    assert parse_scan_name(f"C:\\data\\train\\{name.file_name}") == name
    outer, inner = name.folders[0].split("/")
    assert (outer, inner) == (name.file_name.rsplit("_", 2)[0], name.file_name.rsplit("_", 1)[0])


@pytest.mark.parametrize(
    "other",
    ["train_1_a_1.nii", "train_1_a.nii.gz", "test_1_a_1.nii.gz", "train_x_a_1.nii.gz", "train_1_A_1.nii.gz",
     "train_1_1_1.nii.gz", "xtrain_1_a_1.nii.gz", "train_1_a_1.nii.gz.part", "", "train_1_a_1"],
)  # fmt: skip
def test_other_names_are_none(other):
    assert parse_scan_name(other) is None


@pytest.mark.parametrize("release", [1, 2])
@pytest.mark.parametrize("flat_study", [False, True])
def test_both_folder_layouts_of_both_releases_are_found(ct_rate, release, flat_study):
    path = ct_rate.scan("train_12_b_3", release=release, flat_study=flat_study)
    (study,) = read_ct_rate(ct_rate.write()).studies
    assert study.volumes[0].path == path
    assert (study.key, study.patient, study.split) == ("train_12_b", "train_12", "train")


def test_the_folder_called_dataset_may_be_given_itself(ct_rate):
    ct_rate.scan("train_1_a_1")
    ct_rate.write()
    assert read_data_set(ct_rate.top).studies == read_data_set(ct_rate.folder).studies != ()


def test_where_both_releases_have_a_scan_the_second_is_read(ct_rate):
    ct_rate.scan("train_1_a_1", release=1)
    fixed = ct_rate.scan("train_1_a_1", release=2)
    (study,) = read_ct_rate(ct_rate.write()).studies
    assert [v.path for v in study.volumes] == [fixed]


def test_release_1_takes_units_and_geometry_from_the_table(ct_rate):
    ct_rate.scan("valid_3_a_1", release=1, XYSpacing="[0.8, 0.7]", ZSpacing="1.25", RescaleIntercept="-8192.0",
                 RescaleSlope="2", ImageOrientationPatient="[1.0, 0.0, 0.0, 0.0, 0.8, 0.6]",
                 ImagePositionPatient="[-150.0, -140.5, 30]")  # fmt: skip
    volume = read_ct_rate(ct_rate.write()).studies[0].volumes[0]
    assert volume.rescale == Rescale(2.0, -8192.0)
    # DICOM's pair is the distance of rows first: along y.
    assert volume.geometry.spacing_mm == (0.7, 0.8, 1.25)
    assert volume.geometry.directions_lps == ((1, 0, 0), (0, 0.8, 0.6))
    assert volume.geometry.origin_lps_mm == (-150, -140.5, 30)


def test_release_2_is_never_rescaled_and_its_header_holds(ct_rate):
    ct_rate.scan("valid_3_a_1", release=2, XYSpacing="[0.8, 0.7]", ZSpacing="1.25")
    volume = read_ct_rate(ct_rate.write()).studies[0].volumes[0]
    assert volume.rescale is None
    assert volume.geometry is None
    assert volume.stated_spacing_mm == (0.7, 0.8, 1.25)


@pytest.mark.parametrize(
    ("cell", "count", "expected"),
    [("[0.75, 0.75]", 2, (0.75, 0.75)), ("[0.75,0.75]", 2, (0.75, 0.75)), ("0.75\\0.8", 2, (0.75, 0.8)),
     ("1.5", 1, (1.5,)), ("nan", 1, None), ("[nan, 0.75]", 2, None), ("", 1, None), ("[0.75]", 2, None),
     ("inf", 1, None), ("[1, 2, 3]", 2, None)],
)  # fmt: skip
def test_numbers_of_a_cell(cell, count, expected):
    assert numbers(cell, count) == expected


@pytest.mark.parametrize("release", [1, 2])
@pytest.mark.parametrize("cell", ["nan", "", "0"])
def test_a_scan_without_slice_spacing_is_left_out(ct_rate, release, cell):
    ct_rate.scan("train_5_a_1", release=release, ZSpacing=cell)
    assert _left_out(read_ct_rate(ct_rate.write())) == {"train_5_a_1": "no-spacing"}


def test_release_1_needs_its_rescale(ct_rate):
    ct_rate.scan("train_5_a_1", release=1, RescaleSlope="")
    assert _left_out(read_ct_rate(ct_rate.write())) == {"train_5_a_1": "no-spacing"}


def test_the_known_bad_scans_are_left_out_whatever_their_row_says(ct_rate):
    assert {"train_1267_a_4", "train_11755_a_3", "train_11755_a_4"} == NO_SPACING
    for name in NO_SPACING:
        ct_rate.scan(name)
    for name in ("train_14384_a_2", "valid_251_a_2"):
        ct_rate.scan(name, file=False)
    data = read_ct_rate(ct_rate.write())
    assert _left_out(data) == dict.fromkeys(NO_SPACING, "no-spacing") | dict.fromkeys(NEVER_PUBLISHED, "no-file")
    assert all("never published" in note.reason for note in data.left_out if note.code == "no-file")


def test_scans_on_the_no_chest_lists_are_left_out_whatever_path_names_them(ct_rate):
    for name in ("train_1_a_1", "train_1_a_2", "train_2_a_1", "valid_1_a_1"):
        ct_rate.scan(name)
    folder = ct_rate.write()
    (ct_rate.top / "metadata" / "no_chest_train.txt").write_text(
        "dataset/train/train_1/train_1_a/train_1_a_2.nii.gz\r\ntrain_2_a_1.nii.gz\n\n"
    )
    (ct_rate.top / "metadata" / "no_chest_valid.txt").write_text("/data/valid/valid_1/valid_1_a/valid_1_a_1.nii.gz\n")
    data = read_ct_rate(folder)
    assert _scans(data) == ["train_1_a_1"]
    assert set(_left_out(data).values()) == {"no-chest"}
    assert not data.remarks


def test_absent_no_chest_lists_are_said(ct_rate):
    ct_rate.scan("train_1_a_1")
    assert "no_chest" in read_ct_rate(ct_rate.write()).remarks[0]


def test_studies_known_to_show_more_than_a_chest_are_named_and_kept(ct_rate):
    assert len(MIXED_BODY) == 12
    ct_rate.scan("train_1022_a_1")
    data = read_ct_rate(ct_rate.write())
    assert _scans(data) == ["train_1022_a_1"]
    assert any("train_1022_a" in remark for remark in data.remarks)


def test_reconstructions_of_a_study_share_its_report(ct_rate):
    for name in ("train_2_a_1", "train_2_a_2", "train_2_b_1"):
        ct_rate.scan(name, findings="A nodule.", impression="Follow-up.", labels=("Lung nodule",))
    first, second = read_ct_rate(ct_rate.write()).studies
    assert [v.name for v in first.volumes] == ["train_2_a_1", "train_2_a_2"]
    assert (first.findings, first.impression, first.labels) == ("A nodule.", "Follow-up.", ("Lung nodule",))
    assert (second.key, second.patient) == ("train_2_b", first.patient)


def test_reports_of_a_study_that_differ_are_said(ct_rate):
    ct_rate.scan("train_2_a_2", findings="No nodule.")
    ct_rate.scan("train_2_a_1", findings="A nodule.")
    data = read_ct_rate(ct_rate.write())
    assert data.studies[0].findings == "A nodule."
    assert any("train_2_a" in remark and "2 different reports" in remark for remark in data.remarks)


def test_placeholders_are_no_text_and_a_scan_without_text_is_left_out(ct_rate):
    ct_rate.scan("train_1_a_1", findings="A nodule.", impression="Not given.")
    ct_rate.scan("train_2_a_1", findings="Not given.", impression="")
    data = read_ct_rate(ct_rate.write())
    assert (data.studies[0].findings, data.studies[0].impression) == ("A nodule.", "")
    assert _left_out(data) == {"train_2_a_1": "no-report"}


def test_scans_without_a_row_and_rows_without_a_scan_are_named(ct_rate):
    ct_rate.scan("train_1_a_1").with_name("train_1_a_2.nii.gz").touch()
    ct_rate.scan("train_7_a_1", file=False)
    ct_rate.reports.append({"VolumeName": "train_seven.nii.gz", "Findings_EN": "A nodule."})
    data = read_ct_rate(ct_rate.write())
    assert _left_out(data) == {"train_1_a_2": "no-report", "train_7_a_1": "no-file"} | {
        "train_seven.nii.gz": "bad-name"
    }


def test_the_18_labels_in_the_sets_spelling_and_order(ct_rate):
    ct_rate.scan("train_1_a_1", labels=tuple(reversed(LABELS)))
    ct_rate.scan("train_2_a_1")
    everything, nothing = read_ct_rate(ct_rate.write()).studies
    assert everything.labels == tuple(LABELS)
    assert nothing.labels == ()


def test_label_tables_with_simcrops_spelling_floats_and_more_columns(ct_rate):
    ct_rate.scan("train_1_a_1")
    folder = ct_rate.write()
    table = ct_rate.top / "multi_abnormality_labels" / "train_predicted_labels.csv"
    table.write_text("\ufeffScore, Hietal Hernia ,VolumeName,Emphysema\n0.3,1.0,train_1_a_1.nii.gz,0\n", "utf-8")
    assert read_ct_rate(folder).studies[0].labels == ("Hiatal hernia",)


def test_a_set_without_label_tables_labels_nothing(ct_rate):
    ct_rate.scan("train_1_a_1")
    folder = ct_rate.write()
    for table in (ct_rate.top / "multi_abnormality_labels").iterdir():
        table.unlink()
    assert read_ct_rate(folder).studies[0].labels is None


def test_reports_keep_line_ends_quotes_and_every_letter(ct_rate):
    text = 'First line.\nHe said ""Emphysema"", twice; öğü “quoted”\u2028end.'
    ct_rate.scan("train_1_a_1", findings=text)
    assert read_ct_rate(ct_rate.write()).studies[0].findings == text


def test_a_table_that_lacks_a_column_or_is_no_text_is_refused_by_name(ct_rate):
    ct_rate.scan("train_1_a_1")
    folder = ct_rate.write()
    table = ct_rate.top / "radiology_text_reports" / "train_reports.csv"
    table.write_text("VolumeName,Findings_EN\ntrain_1_a_1.nii.gz,x\n")
    with pytest.raises(UnknownDataSet, match="Impressions_EN"):
        read_data_set(folder)
    table.write_bytes(b"VolumeName,Findings_EN\n\xff\xfe\x00\n")
    with pytest.raises(UnreadableFile, match="train_reports"):
        read_data_set(folder)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(UnknownDataSet):
        read_data_set(tmp_path)
