"""A handful of stored samples, made once."""

from __future__ import annotations

import pytest
from simcrop_training.data.phantoms import write_phantoms


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 2, first_seed=4)
    return folder
