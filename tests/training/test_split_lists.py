"""Which scans train and test: the released lists' forms and sizes, and seeded lists that can stand in for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet
from simcrop_training.datasets.lists import (
    SplitLists,
    by_lists,
    read_json_lists,
    read_lists,
    share_by_seed,
    split_by_seed,
)

from simcrop_core.errors import UnknownDataSet, UnreadableFile


def scans_of(patients, each=2, split="train"):
    """Scans `p0-0`, `p0-1`, `p1-0`, …"""
    return tuple(
        LabelledScan(f"p{p}-{n}", f"p{p}", Path(f"p{p}-{n}.nii.gz"), split, (p % 2, 0))
        for p in range(patients)
        for n in range(each)
    )


def set_of(scans):
    return LabelledSet("Toy", ("Hiatal hernia", "Emphysema"), False, tuple(scans))


def names(data, split):
    return [scan.name for scan in data.of(split)]


# Sizes of the released lists of 1, 10 and 100 %.
@pytest.mark.parametrize(("whole", "tenth", "hundredth"), [(46_363, 4_636, 464), (2_286, 229, None), (2_899, 290, 29),
                                                           (621, 62, None)])  # fmt: skip
def test_seeded_shares_have_the_released_sizes(whole, tenth, hundredth):
    data = set_of(scans_of(whole, each=1))
    assert len(share_by_seed(data, 10).scans) == tenth
    if hundredth is not None:
        assert len(share_by_seed(data, 1).scans) == hundredth
    assert share_by_seed(data, 100) == data


@pytest.mark.parametrize(("whole", "test"), [(888, 267), (4_142, 1_243)])
def test_a_seeded_split_has_the_released_sizes(whole, test):
    data = split_by_seed(set_of(scans_of(whole, each=1)), 0.3)
    assert len(data.of("test")) == test
    assert len(data.of("train")) == whole - test


@settings(max_examples=25, deadline=None)
@given(patients=st.integers(1, 60), each=st.integers(1, 4), seed=st.integers(0, 9), share=st.floats(0.01, 0.9))
def test_seeded_lists_keep_patients_together_and_are_nested(patients, each, seed, share):
    held_out = tuple(LabelledScan(f"q{n}", f"q{n}", Path(f"q{n}"), "test", (0, 0)) for n in range(3))
    data = set_of([*scans_of(patients, each), *held_out])
    shares = [set(names(share_by_seed(data, percent, seed), "train")) for percent in (1, 10, 100)]
    assert shares[0] <= shares[1] <= shares[2] == set(names(data, "train"))
    assert names(share_by_seed(data, 1, seed), "test") == ["q0", "q1", "q2"]
    divided = split_by_seed(data, share, seed, into="valid")
    assert not {scan.patient for scan in divided.of("train")} & {scan.patient for scan in divided.of("valid")}
    assert len(divided.of("valid")) >= share * len(data.of("train"))
    assert sorted(scan.name for scan in divided.scans) == sorted(scan.name for scan in data.scans)


def test_a_seed_and_not_the_order_of_files_decides():
    data = set_of(scans_of(50))
    turned = set_of(reversed(scans_of(50)))
    assert set(names(share_by_seed(data, 10, 4), "train")) == set(names(share_by_seed(turned, 10, 4), "train"))
    assert set(names(share_by_seed(data, 10, 4), "train")) != set(names(share_by_seed(data, 10, 5), "train"))
    assert "10 % of the training scans, by seed 4: 10 of 100." in share_by_seed(data, 10, 4).remarks


@pytest.fixture
def checkout(tmp_path):
    """The tree of the released code, with lists of a few scans as they are written there."""

    def write(task, **lists):
        folder = tmp_path / "Down-stream" / "Classification_Linear" / "datasets" / task
        folder.mkdir(parents=True)
        for name, text in lists.items():
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_the_released_lists_are_found_in_a_checkout_or_in_their_own_folder(checkout):
    head = "VolumeName,Medical material,Emphysema\n"
    root = checkout(
        "CT-Rate",
        train_list=head + "train_1_a_1.nii.gz,0,1\ntrain_2_a_1.nii.gz,1,0\n",
        train_list_10=head + "train_2_a_1.nii.gz,1,0\n",
        val_list=head + "valid_1_a_2.nii.gz,0,0\n",
        test_list=head + "valid_1_a_2.nii.gz,0,0\n",
    )
    code = root / "Down-stream" / "Classification_Linear"
    for folder in (root, code, code / "datasets", code / "datasets" / "CT-Rate"):
        lists = read_lists(folder, "CT-Rate")
        assert (lists.train, lists.valid, lists.test) == (
            ("train_1_a_1", "train_2_a_1"), ("valid_1_a_2",), ("valid_1_a_2",)
        )  # fmt: skip
    assert read_lists(root, "CT-Rate", 10).train == ("train_2_a_1",)
    assert lists.labels["train_1_a_1"] == {"medical material": 0, "emphysema": 1}
    with pytest.raises(UnknownDataSet, match=r"CT-Rate/train_list_1\.csv"):
        read_lists(root, "CT-Rate", 1)
    with pytest.raises(UnknownDataSet, match="LUNA16"):
        read_lists(root / "Down-stream", "LUNA16")


@pytest.mark.parametrize(("task", "key", "row", "name"), [
    ("RadChestCT", "NoteAcc_DEID", "trn24737", "trn24737"), ("CC-CCII", "img_list", "3699.nii.gz", "3699"),
    ("LUNA16", "image_id", "1.3.6.1.4.nii.gz", "1.3.6.1.4"),
])  # fmt: skip
def test_every_task_has_its_own_column_of_names(checkout, task, key, row, name):
    text = f"{key},label\n{row},1\n"
    assert read_lists(checkout(task, train_list=text, val_list=text, test_list=text), task).train == (name,)


@pytest.mark.parametrize("text", ["name,label\na,1\n", "img_list,label\n", "img_list,label\na.nii.gz,1\na.nii.gz,1\n"])
def test_a_list_with_a_wrong_column_no_row_or_a_scan_twice_is_refused(checkout, text):
    whole = "img_list,label\na.nii.gz,1\n"
    with pytest.raises(UnknownDataSet):
        read_lists(checkout("CC-CCII", train_list=whole, val_list=text, test_list=whole), "CC-CCII")


def test_a_list_that_is_no_text_or_absent_is_a_named_fault(checkout):
    root = checkout("LUNA16", train_list="image_id,label\na,1\n", val_list="image_id,label\na,1\n")
    with pytest.raises(UnreadableFile, match=r"test_list\.csv"):
        read_lists(root, "LUNA16")


def test_lists_choose_and_split_the_scans_of_a_set():
    data = set_of(scans_of(4))
    lists = SplitLists(("p2-1", "p0-0"), ("p1-0",), ("p1-0", "p3-0"), "a folder")
    chosen = by_lists(data, lists)
    assert [(scan.name, scan.split) for scan in chosen.scans] == [
        ("p2-1", "train"), ("p0-0", "train"), ("p1-0", "test"), ("p3-0", "test")
    ]  # fmt: skip
    assert any(remark.startswith("1 of 1 validation scans are among the 2 test scans") for remark in chosen.remarks)


def test_listed_scans_that_are_absent_are_counted_and_named_or_left_out():
    lists = SplitLists(tuple(f"gone-{n}" for n in range(12)), (), ("p0-0",), "a folder")
    with pytest.raises(UnreadableFile, match=r"12 of 13 scans .*gone-9 and 2 more"):
        by_lists(set_of(scans_of(1)), lists)
    chosen = by_lists(set_of(scans_of(1)), lists, absent="leave out")
    assert names(chosen, "test") == ["p0-0"]
    assert len(chosen.left_out) == 12


def test_what_lists_and_set_tell_differently_is_said_and_the_set_holds():
    said = {"p0-0": {"hiatal hernia": 1, "emphysema": 0}, "p1-0": {"hiatal hernia": 1, "emphysema": 0}}
    chosen = by_lists(set_of(scans_of(2)), SplitLists(("p0-0", "p1-0"), (), (), "a folder", said))
    assert [scan.labels for scan in chosen.scans] == [(0, 0), (1, 0)]
    assert [remark for remark in chosen.remarks if "differ" in remark] == [
        "Hiatal hernia: the lists differ from the set in 1 of 2 scans; the set's hold."
    ]


def test_the_released_spelling_of_a_label_is_understood(checkout):
    text = "NoteAcc_DEID,Hietal Hernia\np1-0,1\n"
    lists = read_lists(checkout("RadChestCT", train_list=text, val_list=text, test_list=text), "RadChestCT")
    assert lists.labels["p1-0"] == {"hiatal hernia": 1}


def test_segmentation_lists_name_scans_by_their_files(tmp_path):
    path = tmp_path / "dataset_10.json"
    entry = {key: [{"image": f"images/{key}.nii.gz", "label": "l"}] for key in ("training", "validation", "testing")}
    path.write_text(json.dumps(entry), encoding="utf-8")
    lists = read_json_lists(path)
    assert (lists.train, lists.valid, lists.test) == (("training",), ("validation",), ("testing",))
    path.write_text(json.dumps({key: entry[key] for key in ("training", "validation")}), encoding="utf-8")
    assert read_json_lists(path).test == ("validation",)
    for text in ("[]", "{}", '{"training": [{"label": "l"}]}', '{"training": 3}', "{"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises((UnknownDataSet, UnreadableFile)):
            read_json_lists(path)
