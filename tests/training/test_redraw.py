"""Frames drawn anew: other intensities, the same truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from simcrop_training.build import objective_of
from simcrop_training.data.redraw import HIGHEST_HU, LOWEST_HU, redrawn
from simcrop_training.data.sample import SAMPLE_LABELS, Sample, known_labels, load_sample
from simcrop_training.objectives.grounding import _SEEN_REDRAWN, POINTING, GroundingSettings
from simcrop_training.recipe import Data, recipe_of

NUMBER = {name: value for value, name in enumerate(SAMPLE_LABELS)}
EVERYTHING = tuple(range(1, 15))


@pytest.fixture
def chest():
    """Blocks: air, fat with a rib in it, a lung with a vessel, blood, bone."""
    labels, image = np.zeros((48, 48, 8), np.uint8), np.full((48, 48, 8), -1000, np.int16)
    for place, name, hu in (
        (np.s_[8:40, 8:40], "other tissue", -100),
        (np.s_[12:24, 12:36], "right upper lobe", -850),
        (np.s_[28:38, 12:22], "heart", 40),
        (np.s_[28:38, 26:36], "spine", 200),
    ):
        labels[place], image[place] = NUMBER[name], hu
    image[8:40, 9:11], image[16:19, 20:30] = 700, 50
    return Sample(image, labels, EVERYTHING, ())


def drawn(chest, seed):
    return redrawn(chest, np.random.default_rng(seed))


def inner(labels, name):
    """Voxels at least three from another label in the plane: no blur reaches them."""
    here = labels == NUMBER[name]
    for axis in (0, 1):
        for step in (-3, 3):
            here = here & np.roll(here, step, axis)
    return here


def test_the_same_random_numbers_draw_the_same_and_others_do_not(chest):
    first, again, other = drawn(chest, 1), drawn(chest, 1), drawn(chest, 2)
    assert np.array_equal(first.image, again.image)
    assert abs(first.image.astype(int) - other.image).mean() > 20


def test_labels_and_sentences_are_untouched_and_hu_stay_hu(chest):
    before = dataclasses.replace(chest, image=chest.image.copy(), labels=chest.labels.copy())
    for seed in range(10):
        new = drawn(chest, seed)
        assert new.image.dtype == np.int16
        assert new.image.min() >= LOWEST_HU
        assert new.image.max() <= HIGHEST_HU
        assert np.array_equal(new.labels, chest.labels)
        assert (new.known, new.truths) == (chest.known, chest.truths)
    assert np.array_equal(chest.image, before.image), "the sample given is left as it was"


def test_tissues_vary_within_what_they_can_be(chest):
    means = {name: [] for name in ("background", "right upper lobe", "heart", "spine")}
    for seed in range(30):
        new = drawn(chest, seed)
        for name, values in means.items():
            values.append(np.median(new.image[inner(chest.labels, name)]))
    assert max(means["background"]) < -880
    assert -1000 < min(means["right upper lobe"]) < max(means["right upper lobe"]) < -450
    assert -50 < min(means["heart"]) < 100 < 250 < max(means["heart"]) < 520
    assert all(np.ptp(values) > 30 for values in means.values())


def test_ribs_in_fat_and_vessels_in_a_lung_are_drawn_apart(chest):
    differences = []
    for seed in range(20):
        new = drawn(chest, seed).image.astype(float)
        vessel, lung = new[17, 22:28].mean(), new[21:23, 14:18].mean()
        assert vessel > lung
        differences.append(vessel - lung)
    assert np.mean(differences) > 300


def test_in_a_scan_that_knows_no_other_tissue_the_background_is_drawn_as_tissue_where_it_is_dense(chest):
    labels = np.where(chest.labels == NUMBER["other tissue"], 0, chest.labels).astype(np.uint8)
    partly = dataclasses.replace(chest, labels=labels, known=known_labels("right lung", "heart", "spine"))
    air, fat = [], []
    for seed in range(10):
        new = drawn(partly, seed).image
        air.append(new[:4].mean())
        fat.append(np.median(new[25:27, 14:34]))
    assert max(air) < -780
    assert all(-320 < hu < 60 for hu in fat), fat


def grounding_with(rate, folder):
    recipe = recipe_of({
        "name": "tiny", "objective": "grounding", "preset": "tiny", "schedule": {"steps": 4},
        "method": {"batch": 2, "word_noise": 0.0, "redrawn_rate": rate},
    })  # fmt: skip
    return objective_of(recipe, Data(synthetic=(folder,), held_out=(folder,)), sentences=folder.parent / "s.pt")


def test_grounding_asks_of_a_frame_drawn_anew_only_for_findings_that_are_still_seen(phantom_folder):
    """Emphysema and calcified plaques are densities alone: where those are drawn anew, they are gone."""
    every = grounding_with(1.0, phantom_folder)
    asked = [topic for step in range(3) for frame in every.batch(step).asked for topic, _ in frame.topics]
    told = {
        truth.topic
        for path in phantom_folder.glob("*.npz")
        for truth in load_sample(path).truths
        if truth.polarity in POINTING
    }
    assert told - set(_SEEN_REDRAWN), "the phantoms have others"
    assert set(asked) <= set(_SEEN_REDRAWN)


def test_without_redrawing_grounding_learns_from_the_same_frames_as_ever(phantom_folder):
    never, seldom = (grounding_with(rate, phantom_folder).batch(0) for rate in (0.0, 1.0))
    assert never.images_B1HWD.shape == seldom.images_B1HWD.shape
    assert not torch.equal(never.images_B1HWD, seldom.images_B1HWD)
    assert GroundingSettings().redrawn_rate == 0
