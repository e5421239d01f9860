"""Samples in memory: what is kept of them, which are left out, and how much room they take."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.memory_source import MemorySource, coarse_image
from simcrop_training.data.sample import load_sample, sample_paths, save_sample, texts_of
from simcrop_training.data.source import SampleSource
from simcrop_training.engine.errors import NothingToLearnFrom

SHAPE = (32, 32, 16)


def embeddings_of(paths):
    rng = np.random.default_rng(0)
    return {text: rng.standard_normal(8, dtype=np.float32) for path in paths for text in texts_of(path)}


def in_memory(paths):
    return MemorySource(paths, embeddings_of(paths), SHAPE, shift_hu=0.0, seed=1)


def from_files(paths):
    return SampleSource(paths, embeddings_of(paths), Augmentation(), seed=1)


@pytest.fixture
def with_report(phantom_folder, tmp_path):
    """Copies a phantom with another report."""

    def written(name, report):
        path = tmp_path / f"{name}.npz"
        save_sample(path, dataclasses.replace(load_sample(sample_paths([phantom_folder])[0]), report=report))
        return path

    return written


@pytest.mark.parametrize("source", [in_memory, from_files])
def test_samples_without_a_sentence_are_left_out(source, with_report):
    paths = [with_report("none", ""), with_report("dots", "..."), with_report("one", "The heart is large.")]
    made = source(paths)
    assert made.pairs == 1
    assert [made.pair(ordinal).sentences for ordinal in range(2)] == [("The heart is large.",)] * 2
    assert made.sentence_embeddings(4).shape == (1, 8)


@pytest.mark.parametrize("source", [in_memory, from_files])
def test_a_folder_without_reports_is_named(source, with_report):
    with pytest.raises(NothingToLearnFrom, match=r"None of 2 samples, such as .*none\.npz, has a report"):
        source([with_report("none", ""), with_report("blank", " ")])


def test_a_coarse_image_is_the_mean_of_its_blocks():
    image = np.random.default_rng(0).integers(-1000, 1000, (224, 224, 112)).astype(np.int16)
    means = image.reshape(32, 7, 32, 7, 16, 7).mean(axis=(1, 3, 5), dtype=np.float64)
    found = coarse_image(image, SHAPE)
    assert found.dtype == np.int16
    assert np.abs(found - means).max() <= 0.5 + 1e-3


# A process of its own, whose heap has no holes yet that could hide new ones.
_LOADING = """
import os, sys
from pathlib import Path
import numpy as np, psutil, torch
from simcrop_training.data.memory_source import MemorySource
from simcrop_training.data.sample import texts_of

torch.set_num_threads(1)
paths = [Path(name) for name in sys.argv[1:]]
embeddings = {text: np.zeros(8, np.float32) for path in set(paths) for text in texts_of(path)}
load = lambda some: MemorySource(some, embeddings, (56, 56, 28), shift_hu=0.0, seed=1)
held = lambda: psutil.Process(os.getpid()).memory_info().rss
first, before = load(paths[:1]), held()
source = load(paths)
print((held() - before) / 1e6)
"""


def test_only_what_is_kept_takes_room(phantom_folder):
    """Of each sample 0.3 MB are kept; holes between them on the heap once took some 20 MB a sample."""
    paths = [str(path) for path in sample_paths([phantom_folder])] * 24
    asked = [sys.executable, "-c", _LOADING, *paths]
    assert float(subprocess.run(asked, capture_output=True, text=True, check=True).stdout) < 100
