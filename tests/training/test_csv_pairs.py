"""A table of anyone's scans and reports becomes a data set, or is refused by row."""

from __future__ import annotations

import pytest
from ct_rate_files import save_lps
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from simcrop_training.store.store import Store
from store_making import QUICK, one_process

from simcrop_core.errors import UnknownDataSet


@pytest.fixture
def table(tmp_path):
    """A function that writes a table beside three empty files."""
    (tmp_path / "cts").mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "c.nrrd"):
        (tmp_path / "cts" / name).touch()

    def write(text, columns="path,findings,impression,split"):
        (tmp_path / "pairs.csv").write_text(f"{columns}\n{text}", encoding="utf-8")
        return tmp_path / "pairs.csv"

    return write


def test_a_row_is_a_study(table, tmp_path):
    rows = 'cts/b.nii.gz,"One, two.\nThree.",None.,train\ncts/a.nii.gz,A.,B.,Val\n'
    data = read_data_set(table(rows))
    assert [(s.key, s.split, s.findings, s.impression) for s in data.studies] == [
        ("cts/a.nii.gz", "valid", "A.", "B."),
        ("cts/b.nii.gz", "train", "One, two.\nThree.", ""),
    ]
    assert data.studies[0].volumes[0].path == tmp_path / "cts" / "a.nii.gz"
    assert data.name == "pairs"
    assert data.studies[0].labels is None


def test_a_folder_with_one_table_may_be_given_itself(table, tmp_path):
    table("cts/a.nii.gz,A.,B.,train\n")
    assert read_data_set(tmp_path).studies == read_data_set(tmp_path / "pairs.csv").studies != ()
    (tmp_path / "other.csv").touch()
    with pytest.raises(UnknownDataSet):
        read_data_set(tmp_path)


def test_scans_of_one_study_share_its_report(table):
    columns = "study,path,findings,impression,split,patient,remark"
    (study,) = read_data_set(
        table("s1,cts/a.nii.gz,A.,B.,train,p1,x\ns1,cts/c.nrrd,A.,B.,train,p1,y\n", columns)
    ).studies
    assert (study.key, study.patient, len(study.volumes)) == ("s1", "p1", 2)
    with pytest.raises(UnknownDataSet, match=r"Row 2 .*`findings`"):
        read_data_set(table("s1,cts/a.nii.gz,A.,B.,train,p1,x\ns1,cts/c.nrrd,C.,B.,train,p1,y\n", columns))


def test_rows_that_cannot_be_used_are_named(table):
    rows = "cts/a.nii.gz,A.,B.,train\ncts/./a.nii.gz,A.,B.,train\ncts/x.nii.gz,A.,B.,train\ncts/b.nii.gz, ,n/a,train\n"
    data = read_data_set(table(rows + ",A.,B.,train\n"))
    assert [s.key for s in data.studies] == ["cts/a.nii.gz"]
    assert [(note.name, note.code) for note in data.left_out] == [
        ("cts/./a.nii.gz", "duplicate"),
        ("cts/x.nii.gz", "no-file"),
        ("cts/b.nii.gz", "no-report"),
        ("row 5", "bad-name"),
    ]


def test_an_unknown_split_is_refused_by_row(table):
    with pytest.raises(UnknownDataSet, match=r"Row 2 .*'dev'"):
        read_data_set(table("cts/a.nii.gz,A.,B.,train\ncts/b.nii.gz,A.,B.,dev\n"))


def test_a_patient_on_both_sides_of_a_split_is_said(table):
    columns = "path,findings,impression,split,patient"
    data = read_data_set(table("cts/a.nii.gz,A.,B.,train,p1\ncts/b.nii.gz,C.,D.,valid,p1\n", columns))
    assert any("p1" in remark and "train, valid" in remark for remark in data.remarks)


def test_the_terms_beside_the_table_go_into_the_store(table, tmp_path, coarse_chest):
    path = table("cts/a.nii.gz,Nodule in the left lung.,Nodule.,train\n")
    save_lps(tmp_path / "cts" / "a.nii.gz", coarse_chest, (4, 4, 4))
    (tmp_path / "LICENSE.txt").write_text("For our department alone.\n")
    prepare(read_data_set(path), tmp_path / "store", QUICK, one_process)
    assert "For our department alone." in Store.open(tmp_path / "store").terms
    assert "For our department alone." in (tmp_path / "store" / "README.md").read_text()
