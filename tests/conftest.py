"""What many tests share: the real scans, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hand_set_weights import write_bright_finder

from simcrop_core.inference.engine import Engine

# Tests use small tensors, on which a second thread mostly waits.
torch.set_num_threads(1)

_DATA = Path(os.environ.get("SIMCROP_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """Slow tests take what they take."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def real_ct():
    """A function from a path below the folder of real CTs to that file; skips the test where it is absent."""

    def find(relative: str) -> Path:
        path = _DATA / relative
        if not path.exists():
            pytest.skip(f"needs the real CT {relative}: set SIMCROP_TEST_DATA to a folder that has it")
        return path

    return find


@pytest.fixture(scope="session")
def bright_finder(tmp_path_factory):
    """A folder with weights that find what is bright."""
    folder = tmp_path_factory.mktemp("bright-finder")
    write_bright_finder(folder)
    return folder


@pytest.fixture(scope="session")
def engine(bright_finder):
    """Those weights on the CPU."""
    return Engine(str(bright_finder), "cpu")
