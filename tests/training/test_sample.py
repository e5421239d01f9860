"""What is stored of a sample is what was drawn, and augmentation keeps image and truth together."""

from __future__ import annotations

import json

import numpy as np
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.sample import CELLS, SAMPLE_LABELS, Sample, Truth, load_sample, sample_paths, save_sample

from simcrop_core.models.structures import CHEST_LABELS
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.truth import LABELS, LOBES, ORGANS

HEART = CHEST_LABELS.index("heart")


def test_a_stored_sample_is_the_phantom(phantom_folder):
    sample, phantom = load_sample(sample_paths([phantom_folder])[0]), draw_phantom(4)
    assert np.array_equal(sample.image, phantom.image)
    assert [t.text for t in sample.truths] == [s.text for s in phantom.statements]
    for truth, statement in zip(sample.truths, phantom.statements, strict=True):
        assert truth.counts.sum() == statement.voxels.size
    for lobe, name in enumerate(LOBES[1:], start=1):
        assert np.array_equal(sample.labels == SAMPLE_LABELS.index(name), phantom.lobes == lobe)
    for name in LABELS[3:]:
        drawn = sample.labels == SAMPLE_LABELS.index(name)
        assert np.array_equal(drawn, phantom.labels == LABELS.index(name))
        assert drawn.any()
    assert sample.known == tuple(range(1, len(CHEST_LABELS)))


def test_a_sample_of_an_earlier_version_keeps_what_it_knew(tmp_path):
    """Its labels had other numbers: lungs are sides, and nobody asked for its other tissue."""
    labels = np.zeros((8, 8, 4), np.uint8)
    labels[1], labels[2], labels[3] = ORGANS.index("left lung"), ORGANS.index("heart"), ORGANS.index("spine")
    truth = Truth("The heart.", "anatomy", "heart", "", "", np.zeros(1, np.int32), np.ones(1, np.uint8))
    save_sample(tmp_path / "now.npz", Sample(labels.astype(np.int16), labels, (1, 2, 3, 4, 5, 6, 7, 8), (truth,)))
    with np.load(tmp_path / "now.npz") as stored:
        meta = json.loads(stored["meta"].tobytes())
        del meta["labels"]
        arrays = {**stored, "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    np.savez(tmp_path / "then.npz", **arrays)
    then = load_sample(tmp_path / "then.npz")
    assert [SAMPLE_LABELS[value] for value in then.labels[:4, 0, 0]] == ["background", "left lung", "heart", "spine"]
    assert [SAMPLE_LABELS[value] for value in then.known] == list(ORGANS[1:])


def test_a_sample_of_which_nothing_is_said_is_read_again(tmp_path):
    labels = np.zeros((8, 8, 4), np.uint8)
    save_sample(tmp_path / "silent.npz", Sample(labels.astype(np.int16), labels, (1,), ()))
    assert load_sample(tmp_path / "silent.npz").truths == ()


def test_augmentation_moves_the_truth_with_the_image(phantom_folder):
    sample = load_sample(sample_paths([phantom_folder])[1])
    quiet = Augmentation(zoom=0.0, cut_rate=0.0, densities=0.0, noise_hu=0.0, blur_rate=0.0, kernel=0.0)
    moved = augmented(sample, quiet, np.random.default_rng(4))
    assert not np.array_equal(moved.image, sample.image)
    heart = next(t for t in moved.truths if t.topic == "heart")
    drawn = (moved.labels == HEART).reshape(CELLS[0], 4, CELLS[1], 4, CELLS[2], 2).sum((1, 3, 5))
    assert np.array_equal(np.flatnonzero(drawn), np.sort(heart.cells))


def test_a_zoom_moves_the_truth_with_the_image(phantom_folder):
    """Voxels and cells are looked up each on their own grid, so edges may differ by part of a cell."""
    sample = load_sample(sample_paths([phantom_folder])[1])
    quiet = Augmentation(
        shift_cells=(0, 0, 0), zoom=0.2, cut_rate=0.0, densities=0.0, noise_hu=0.0, blur_rate=0.0, kernel=0.0
    )
    volumes = []
    for seed in range(8):
        moved = augmented(sample, quiet, np.random.default_rng(seed))
        heart = next(t for t in moved.truths if t.topic == "heart")
        claimed = np.zeros(CELLS)
        claimed.flat[heart.cells] = heart.counts
        drawn = (moved.labels == HEART).reshape(CELLS[0], 4, CELLS[1], 4, CELLS[2], 2).sum((1, 3, 5))
        assert np.minimum(claimed, drawn).sum() > 0.85 * np.maximum(claimed, drawn).sum()
        volumes.append(drawn.sum() / (sample.labels == HEART).sum())
    assert min(volumes) < 0.9 < 1.1 < max(volumes)


def test_densities_move_but_denser_tissue_stays_denser(phantom_folder):
    sample = load_sample(sample_paths([phantom_folder])[0])
    moving = Augmentation(
        shift_cells=(0, 0, 0), zoom=0.0, cut_rate=0.0, densities=1.0, noise_hu=0.0, blur_rate=0.0, kernel=0.0
    )
    moved = augmented(sample, moving, np.random.default_rng(3))
    order = np.argsort(sample.image, axis=None, kind="stable")
    assert (np.diff(moved.image.ravel()[order].astype(int)) >= 0).all()
    lung = sample.labels == 1
    assert 3 < abs(moved.image[lung].mean() - sample.image[lung].mean()) < 200


def test_augmentation_is_a_function_of_its_random_numbers(phantom_folder):
    sample = load_sample(sample_paths([phantom_folder])[1])
    first, second = (augmented(sample, Augmentation(), np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first.image, second.image)


def test_a_shorter_field_of_view_drops_what_it_cuts_off(phantom_folder):
    sample = load_sample(sample_paths([phantom_folder])[0])
    always = Augmentation(shift_cells=(0, 0, 0), cut_rate=1.0)
    for seed in range(6):
        for truth in augmented(sample, always, np.random.default_rng(seed)).truths:
            whole = next(t for t in sample.truths if t.text == truth.text and t.polarity == truth.polarity)
            assert 2 * truth.counts.sum() >= min(whole.counts.sum(), 1)
