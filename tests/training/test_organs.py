"""Which organs a frame shows, in which patches, and what a report says of each."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import numpy as np
import pytest
from simcrop_training.data.anatomies import anatomies, label_classes, mentioned, total_segmentator_classes
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.decompose import (
    CalledDecomposer,
    JsonDecomposer,
    RuleDecomposer,
    Said,
    asserts_finding,
    organ_text,
)
from simcrop_training.data.organs import Organs, coarse_labels, located
from simcrop_training.data.sample import SAMPLE_LABELS, load_sample, sample_paths
from simcrop_training.data.source import SampleSource
from simcrop_training.engine.errors import UnusableOrganTexts

from simcrop_core.models.structures import CHEST_LABELS, OTHER_TISSUE

GRID = (4, 4, 4)
NAMES = ("background", "lung_lower_lobe_left", "lung_upper_lobe_right", "heart", "aorta")
LUNG, HEART, AORTA = (anatomies()[name] for name in ("lung", "heart", "aorta"))


def frame(*boxes):
    """(32, 32, 16) labels: each box is a label and its slices."""
    labels = np.zeros((32, 32, 16), np.uint8)
    for label, *slices in boxes:
        labels[tuple(slices)] = label
    return labels


def found(labels, *, first=(0, 0, 0), end=(32, 32, 16), allow_border=True):
    return located(Organs(labels, NAMES, first, end), (LUNG, HEART, AORTA), GRID, allow_border=allow_border)


def test_one_voxel_marks_its_patch_and_no_other():
    tokens_ON = found(frame((3, 9, 17, 6))).tokens_ON
    assert np.flatnonzero(tokens_ON[1]).tolist() == [(1 * 4 + 2) * 4 + 1]  # z fastest
    assert not tokens_ON[[0, 2]].any()


def test_tokens_are_the_maximum_over_each_patch():
    labels = np.random.default_rng(0).integers(0, 400, (32, 32, 16)).clip(0, 4).astype(np.uint8)
    labels[labels == 4] = 0
    labels[:, :8] = 0
    wanted = np.stack([np.isin(labels, values) for values in ([1, 2], [3], [4])])
    pooled = wanted.reshape(3, 4, 8, 4, 8, 4, 4).max(axis=(2, 4, 6)).reshape(3, 64)
    np.testing.assert_array_equal(found(labels).tokens_ON, pooled)
    assert 0 < pooled[0].sum() < 64


def test_lobes_of_both_sides_are_one_lung():
    both = found(frame((1, slice(2, 6), 3, 3), (2, slice(20, 24), 3, 3)))
    assert both.tokens_ON[0].sum() == 2
    assert both.whole_O.tolist() == [True, False, False]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("place", [0, -1])
def test_an_organ_on_any_face_of_the_frame_is_not_whole(axis, place):
    at = [slice(10, 12), slice(10, 12), slice(6, 8)]
    inside = found(frame((3, *at)))
    at[axis] = place
    cut = found(frame((3, *at)))
    assert (inside.whole_O[1], cut.whole_O[1], cut.present_O[1]) == (True, False, True)


@pytest.mark.parametrize(("allow_border", "whole"), [(True, True), (False, False)])
def test_an_organ_that_leaves_the_scan_is_whole_where_that_is_allowed(allow_border, whole):
    """The scan begins at the fifth slice of the frame; the aorta runs through its first one."""
    labels = frame((4, slice(8, 12), slice(8, 12), slice(5, 10)))
    assert found(labels, first=(0, 0, 5), allow_border=allow_border).whole_O[2] == whole


def test_what_the_frame_cuts_inside_the_scan_is_never_whole():
    labels = frame((4, slice(8, 12), slice(8, 12), slice(5, 16)))
    assert not found(labels, first=(0, 0, 5), allow_border=True).whole_O[2]


def test_many_organs_fit_into_one_map():
    everything = list(anatomies().values())
    labels = frame(*((label, 8 * (label % 4), 8 * (label // 4), 1) for label in range(1, len(CHEST_LABELS))))
    there = located(Organs.whole(labels, CHEST_LABELS), everything, GRID, allow_border=True)
    names = {anatomy.name for anatomy, present in zip(everything, there.present_O, strict=True) if present}
    assert names == {"lung", "trachea", "heart", "aorta", "pulmonary_vessels", "liver", "spleen", "esophagus", "spine"}
    assert there.tokens_ON.sum() == len(CHEST_LABELS) - 2, "other tissue is of no organ"


def test_coarse_labels_are_those_in_the_middle():
    labels = np.arange(8 * 8 * 4).reshape(8, 8, 4).astype(np.uint8)
    np.testing.assert_array_equal(coarse_labels(labels, (2, 2, 2)), labels[2::4, 2::4, 1::2])


def test_a_phantoms_organs_follow_the_change_of_its_frame(phantom_folder):
    paths = sample_paths([phantom_folder])
    source = SampleSource(paths, _Zeros(), Augmentation(cut_rate=1.0), 5)
    pair = source.pair(0)
    organs = pair.organs
    assert organs.labels.shape == pair.image.shape
    assert organs.names == SAMPLE_LABELS
    outside = np.ones(pair.image.shape, bool)
    outside[tuple(map(slice, organs.first, organs.end))] = False
    assert outside.any()
    assert not organs.labels[outside].any()
    assert pair.image[outside].mean() < -950
    lung = pair.image[np.isin(organs.labels, (1, 2, 3, 4, 5))]
    assert -950 < np.median(lung) < -600 < 0 < np.median(pair.image[organs.labels == SAMPLE_LABELS.index("heart")])


def test_marking_labels_changes_no_frame(phantom_folder):
    sample = load_sample(sample_paths([phantom_folder])[0])
    changed = augmented(sample, Augmentation(), np.random.default_rng(3))
    again = augmented(sample, Augmentation(), np.random.default_rng(3))
    assert np.array_equal(changed.image, again.image)


class _Zeros(dict):
    def __missing__(self, _key):
        return np.zeros(3, np.float32)


def test_the_classes_of_total_segmentator_have_their_numbers():
    classes = total_segmentator_classes()
    assert len(classes) == 118
    assert len(set(label_classes())) == len(label_classes())
    assert [n for n, name in enumerate(classes) if LUNG.covers(name)] == [10, 11, 12, 13, 14]
    assert [n for n, name in enumerate(classes) if HEART.covers(name)] == [51, 61]
    assert [n for n, name in enumerate(classes) if anatomies()["esophagus"].covers(name)] == [15]
    assert [n for n, name in enumerate(classes) if AORTA.covers(name)] == [52]


def test_every_pattern_of_classes_is_some_class_and_no_class_is_two_organs():
    known = set(label_classes())
    for anatomy in anatomies().values():
        assert all(any(fnmatchcase(name, pattern) for name in known) for pattern in anatomy.classes), anatomy.name
    assert all(sum(a.covers(name) for a in anatomies().values()) <= 1 for name in known)
    assert all(any(a.covers(name) for a in anatomies().values()) for name in SAMPLE_LABELS[1:] if name != OTHER_TISSUE)


@pytest.mark.parametrize(
    ("sentence", "organs"),
    [
        ("Trachea and both main bronchi are open.", ["trachea"]),
        ("The bronchi are dilated.", ["lung"]),
        ("The pulmonary artery is wide.", ["pulmonary_vessels"]),
        ("Pulmonary nodules are seen.", ["lung"]),
        ("The aortic valve is calcified.", ["heart"]),
        ("Heart and AORTA are of normal width.", ["heart", "aorta"]),
        ("A nodule in the thyroid gland.", ["thyroid"]),
        ("A hiatal hernia is noted.", ["esophagus"]),
        ("Peribronchial thickening and subpleural bands.", ["lung"]),
        ("Adrenal nodule on the left.", ["adrenal"]),
        ("No enlarged lymph nodes are seen.", []),
        ("A relentless discussion.", []),
    ],
)
def test_a_sentence_is_about_the_organs_it_names(sentence, organs):
    assert mentioned(sentence) == organs


def test_rules_keep_the_order_and_the_sections_apart():
    findings = "No effusion in the pleura. The heart is large. A nodule lies in the left lung and beside the aorta."
    said = RuleDecomposer().decompose(findings, "Lung nodule. Cardiomegaly.", "")
    assert said == {
        "aorta": Said("", "A nodule lies in the left lung and beside the aorta."),
        "heart": Said("Cardiomegaly.", "The heart is large."),
        "lung": Said(
            "Lung nodule.", "No effusion in the pleura. A nodule lies in the left lung and beside the aorta."
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "whole", "encoded", "normal"),
    [
        (Said("", ""), "lung shows no significant abnormalities.", None, True),
        (Said("", "Lungs are clear."), "lung shows no significant abnormalities. Lungs are clear.",
         "Lungs are clear.", True),
        (Said("Lung nodule", "A 'nodule' (8 mm)."), "Lung nodule. A nodule 8 mm.", None, False),
        (Said("Emphysema.", ""), "Emphysema.", None, False),
    ],
)  # fmt: skip
def test_texts_are_put_together_as_the_method_says(said, whole, encoded, normal):
    text = organ_text("lung", said, "impression")
    assert (text.whole, text.encoded, text.normal) == (whole, encoded or whole, normal)


@pytest.mark.parametrize(
    ("said", "by_impression", "by_words"),
    [
        (Said("", "A nodule of 8 mm is seen in the lung."), True, False),
        (Said("No pleural effusion.", ""), False, True),
        (Said("Possible pneumonia.", ""), False, False),
        (Said("", "Lungs are clear. No nodule."), True, True),
    ],
)
def test_the_two_rules_for_what_is_normal_differ_where_they_should(said, by_impression, by_words):
    assert organ_text("lung", said, "impression").normal == by_impression
    assert organ_text("lung", said, "lexical").normal == by_words


@pytest.mark.parametrize(
    ("sentence", "asserted"),
    [
        ("The heart is enlarged.", True),
        ("The trachea is in the midline.", False),
        ("The lung parenchyma was examined in the lung window.", False),
        ("No pericardial effusion.", False),
        ("No effusion, but a nodule.", True),
    ],
)
def test_only_a_finding_that_is_there_is_asserted(sentence, asserted):
    assert asserts_finding(sentence) == asserted


def test_decompositions_of_others_are_read(tmp_path):
    desc, conc = tmp_path / "desc_info.json", tmp_path / "conc_info.json"
    desc.write_text(json.dumps({"train_1_a": {"lung": "Clear lungs.", "heart": "Normal heart."}, "train_2_a": {}}))
    conc.write_text(json.dumps({"train_1_a": {"lung": "Emphysema."}}))
    decomposer = JsonDecomposer(desc, conc)
    assert decomposer.decompose("anything", "", "train_1_a") == {
        "heart": Said("", "Normal heart."),
        "lung": Said("Emphysema.", "Clear lungs."),
    }
    assert decomposer.decompose("", "", "train_2_a") == {}
    with pytest.raises(UnusableOrganTexts, match="train_3_a"):
        decomposer.decompose("", "", "train_3_a")


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "lung"}', '{"a": {"lung": 3}}'])
def test_a_file_of_something_else_is_named(content, tmp_path):
    path = tmp_path / "desc_info.json"
    path.write_text(content)
    with pytest.raises(UnusableOrganTexts, match=r"desc_info\.json"):
        JsonDecomposer(path, path)


def test_a_function_may_take_reports_apart():
    asked = CalledDecomposer(lambda findings, impression: {"lung": (impression, findings)})
    assert asked.decompose("Clear.", "Emphysema.", "") == {"lung": Said("Emphysema.", "Clear.")}
