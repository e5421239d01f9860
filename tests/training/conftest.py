"""A handful of stored samples, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from ct_rate_files import CtRateFolder, save_lps
from simcrop_training.data.phantoms import write_phantoms
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.volume import Settings
from store_making import MINILM, one_process


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 2, first_seed=4)
    return folder


@pytest.fixture(scope="session")
def coarse_chest():
    """(100, 72, 84) int16 HU along RAS axes, 4 mm: a chest small enough to be written many times."""
    shape = (100, 72, 84)
    still = volume_of(chest_hu, affine_of(spacing=(4, 4, 4), shape=shape), shape).voxels
    return (still + np.random.default_rng(0).integers(-20, 20, shape)).astype(np.int16)


@pytest.fixture(scope="session")
def ct_rate_source(tmp_path_factory, coarse_chest):
    """A CT-RATE folder of four scans: two of one study, one held out, one that holds nothing but air."""
    made = CtRateFolder(tmp_path_factory.mktemp("ct-rate"))
    said = {"findings": "Trachea is open. A nodule is seen in the right upper lobe.", "impression": "Lung nodule."}
    stated = {"XYSpacing": "[4, 4]", "ZSpacing": "4"}
    shifted = np.roll(coarse_chest, 3, axis=2)
    save_lps(made.scan("train_1_a_1", labels=("Lung nodule",), **said, **stated), coarse_chest, (4, 4, 4))
    save_lps(made.scan("train_1_a_2", labels=("Lung nodule",), **said, **stated), shifted, (4, 4, 4))
    save_lps(made.scan("valid_1_a_1", findings="Trachea is open. Normal heart.", **stated), coarse_chest, (4, 4, 4))
    water = np.where(np.indices((60, 60, 60)).sum(0) % 7, 40, -300).astype(np.int16)
    water[:5], water[-2:] = -1000, 300
    save_lps(made.scan("train_2_a_1", **stated), water, (4, 4, 4))
    return made.write()


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory, ct_rate_source):
    """The store of that folder, with MiniLM's embeddings; not to be changed."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    prepare(read_data_set(ct_rate_source), folder, Settings(), one_process, encoders=[MINILM])
    return folder


@pytest.fixture
def own_store(store_folder, tmp_path):
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(store_folder, tmp_path / "store"))
