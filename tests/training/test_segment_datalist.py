"""Which scans train, choose and test, from lists as they are released and as users write them."""

from __future__ import annotations

import json

import pytest
from monai.data.decathlon_datalist import load_decathlon_datalist
from simcrop_training.datasets.labelled import require_files
from simcrop_training.evaluate.segmenting.datalist import read_scans, splits_of

from simcrop_core.errors import UnknownDataSet, UnreadableFile
from simcrop_core.models.presets import BTCV_LABELS

ORGANS = {str(value): name for value, name in enumerate(BTCV_LABELS)}


def entries(names, **more):
    return [{"image": f"images/{n}.nii.gz", "label": f"labels/{n}.nii.gz", **more} for n in names]


def listed(folder, labels=None, **keys):
    path = folder / "dataset.json"
    path.write_text(json.dumps({"name": "Set", "labels": labels or {"0": "background", "1": "lung"}, **keys}))
    return path


def names(scans):
    return [scan.name for scan in scans]


def splits(path, preset, task=None, **options):
    return splits_of(read_scans(path, task)[0], preset, **options)


def test_paths_are_those_that_monai_reads(tmp_path):
    path = listed(tmp_path, training=entries("abc"), validation=entries("de"))
    read = splits(path, "official")
    theirs = load_decathlon_datalist(str(path), data_list_key="training")
    assert [(str(s.path), str(s.mask)) for s in read.train] == [(e["image"], e["label"]) for e in theirs]
    assert read.labels == ("background", "lung")


def test_btcv_as_released_is_chosen_by_what_it_is_tested_on(tmp_path):
    """24 train, 6 validate; 20 without labels under `test`."""
    train, held_out = (
        [f"btcv_{n:03d}" for n in (*range(1, 11), *range(21, 35))],
        [f"btcv_{n:03d}" for n in range(35, 41)],
    )
    path = listed(
        tmp_path, ORGANS, training=entries(train), validation=entries(held_out),
        test=[f"imagesTs/{n}.nii.gz" for n in range(61, 81)],
    )  # fmt: skip
    official, clean = splits(path, "official", "btcv"), splits(path, "clean", "btcv")
    assert official.labels == BTCV_LABELS
    assert names(official.train) == train
    assert names(official.valid) == names(official.test) == held_out
    assert any("chosen by what it is tested on" in remark for remark in official.remarks)
    assert names(clean.test) == held_out
    assert len(clean.valid) == 5
    assert sorted(names(clean.train) + names(clean.valid)) == train
    assert len(official.left_out) == len(clean.left_out) == 20
    assert splits(path, "clean", "btcv") == clean
    assert splits(path, "clean", "btcv", seed=1).valid != clean.valid


def test_luna16_as_released_validates_on_some_of_its_test_scans(tmp_path):
    test = [f"uid{n}" for n in range(20)]
    path = listed(
        tmp_path, training=entries([f"t{n}" for n in range(30)]), validation=entries(test[:4]), testing=entries(test)
    )
    official, clean = splits(path, "official", "luna16"), splits(path, "clean", "luna16")
    assert set(names(official.valid)) == set(test[:4]) < set(names(official.test)) == set(test)
    assert set(names(clean.test)) == set(test)
    assert not set(names(clean.valid)) & set(test)
    assert len(clean.valid) == 6
    assert not official.left_out
    assert not clean.left_out


def test_a_list_with_validation_scans_of_its_own_keeps_them(tmp_path):
    path = listed(tmp_path, training=entries("abcdef"), validation=entries("gh"), testing=entries("ij"))
    for preset in ("official", "clean"):
        found = splits(path, preset)
        assert (names(found.train), names(found.valid), names(found.test)) == (list("abcdef"), list("gh"), list("ij"))


def test_without_held_out_scans_official_has_nothing_to_choose_by(tmp_path):
    path = listed(tmp_path, training=entries([f"s{n}" for n in range(10)]))
    with pytest.raises(UnknownDataSet, match="no held-out scans"):
        splits(path, "official")
    clean = splits(path, "clean")
    assert (len(clean.train), len(clean.valid), len(clean.test)) == (6, 2, 2)
    assert any("a fifth of its scans are the test" in remark for remark in clean.remarks)


def test_scans_of_one_patient_are_never_on_both_sides(tmp_path):
    rows = [
        entry | {"patient": f"p{number // 2}"} for number, entry in enumerate(entries([f"s{n}" for n in range(12)]))
    ]
    path = listed(tmp_path, training=rows[:9], testing=rows[9:])
    clean = splits(path, "clean")
    sides = [{scan.patient for scan in part} for part in (clean.train, clean.valid, clean.test)]
    assert not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & sides[2]
    assert [(note.name, note.code) for note in clean.left_out] == [("s8", "patient-held-out")]


def test_labels_may_have_any_numbers(tmp_path):
    path = listed(
        tmp_path, {"0": "background", "5": "trachea", "3": "left lung"}, training=entries("ab"), validation=entries("c")
    )
    found = splits(path, "official")
    assert found.labels == ("background", "left lung", "trachea")
    assert found.train[0].mask_values == (0, 3, 5)


def test_a_share_of_the_training_scans(tmp_path):
    path = listed(tmp_path, training=entries([f"s{n}" for n in range(40)]), validation=entries("ab"))
    tenth = splits(path, "official", percent=10)
    assert len(tenth.train) == 4
    assert len(tenth.valid) == 2


def test_missing_files_are_named_before_anything_starts(tmp_path):
    path = listed(tmp_path, training=entries("a"), validation=entries("b"))
    found = splits(path, "official")
    with pytest.raises(UnreadableFile, match=r"4 of 4 files are not there: .*a\.nii\.gz"):
        require_files((*found.train, *found.valid))


def test_a_folder_needs_to_be_said_what_it_is(tmp_path):
    with pytest.raises(UnknownDataSet, match="no task says"):
        read_scans(tmp_path, None)


@pytest.mark.parametrize(
    ("task", "said", "terms"),
    [
        (None, {}, ""),
        (None, {"licence": "CC-BY-SA 4.0"}, "CC-BY-SA 4.0"),
        (None, {"license": " CC BY 4.0 "}, "CC BY 4.0"),
        ("luna16", {}, "CC BY 4.0 (LUNA16"),
        # Lists of BTCV that go round have a word there that is no licence.
        ("btcv", {"licence": "yt"}, "no public licence of BTCV is known"),
    ],
)
@pytest.mark.parametrize("preset", ["official", "clean"])
def test_terms_are_those_of_a_known_set_or_what_the_list_says(tmp_path, task, said, terms, preset):
    path = listed(tmp_path, ORGANS, training=entries("abc"), validation=entries("de"), **said)
    found = splits(path, preset, task).terms
    assert found.startswith(terms)
    assert bool(found) is bool(terms)
