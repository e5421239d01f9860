"""Two servers for all tests, and the small chest that they are asked about."""

from __future__ import annotations

import contextlib

import pytest
from chests import affine_of, chest_hu, volume_of
from served import ready_of, start

SHAPE = (120, 90, 100)


@pytest.fixture(scope="session")
def chest():
    """The chest of `chests.py`, 3 mm voxels."""
    return volume_of(chest_hu, affine_of(shape=SHAPE), SHAPE)


@pytest.fixture(scope="session")
def _both(tmp_path_factory):
    """Two servers that start side by side: one for everything, one with narrow limits."""
    folder = tmp_path_factory.mktemp("served")
    temporary = folder / "temporary"
    temporary.mkdir()
    (temporary / "simcrop-serve-999999999-left").mkdir()
    main = start("--local", folder=folder, temporary=temporary, wait=False)
    narrow = start("--queue", 2, "--lease-s", 2, "--memory-gb", 0.06, folder=folder, wait=False)
    with contextlib.ExitStack() as stack:
        stack.callback(main.stop)
        stack.callback(narrow.stop)
        yield ready_of(main), ready_of(narrow), temporary


@pytest.fixture(scope="session")
def server(_both):
    with _both[0].client() as client:
        client.capabilities()
    return _both[0]


@pytest.fixture(scope="session")
def narrow_server(_both):
    return _both[1]


@pytest.fixture(scope="session")
def temporary_folder(_both):
    return _both[2]


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def scan(server, chest):
    """A session that is encoded."""
    with server.client() as client, client.open(chest.voxels, chest.affine, name="chest") as scan:
        scan.encode()
        yield scan
