"""What a machine does to a live service: its memory runs out, or its weights go. It says so, and goes on."""

from __future__ import annotations

import contextlib
import shutil
import sys

import numpy as np
import psutil
import pytest
from served import ROOT, start

from simcrop_core.errors import OutOfMemory
from simcrop_core.serve import wire

SENTENCE = ["Mass in the left lower lobe."]
# Of addresses: less than a window of the network takes, and enough for whatever else the server does meanwhile.
LEFT_BYTES = 40 << 20


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A copy of the packaged weights that a test may spoil."""
    folder = tmp_path_factory.mktemp("spoilt") / "weights"
    folder.mkdir()
    for name in ("grounding.safetensors", "segmentation.safetensors"):
        shutil.copy(ROOT / "simcrop_core" / "starter" / name, folder)
    return folder


@pytest.fixture(scope="module")
def own_server(weights, tmp_path_factory):
    """A server of this file's own."""
    served = start("--weights", weights, folder=tmp_path_factory.mktemp("own"))
    with served.client() as client:
        client.capabilities()
    yield served
    served.stop()


@contextlib.contextmanager
def short_of_memory(pid):
    """The kernel refuses the process more than a few megabytes; real allocations fail, as on a full machine."""
    process = psutil.Process(pid)
    before = process.rlimit(psutil.RLIMIT_AS)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + LEFT_BYTES, before[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_AS, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit that is set from outside")
def test_an_engine_that_is_out_of_memory_says_so_and_answers_the_next_request(own_server, chest):
    """The network has run before: kernels that are made with no memory may end the process (docs/serve.md)."""
    huge = np.zeros((800, 800, 600), np.int16)
    with own_server.client() as client, client.open(chest.voxels, chest.affine) as scan:
        labels = scan.segment("lungs").arrays["labels"]
        before = scan.ground(SENTENCE).document["sentences"]
        with short_of_memory(own_server.ready["pid"]):
            for ask in (lambda: scan.segment("lungs"), lambda: client.ask(wire.upload(huge, np.eye(4), coding="raw"))):
                with pytest.raises(OutOfMemory) as fault:
                    ask()
                assert fault.value.hint
            assert client.health()["status"] == "ready"
        assert scan.ground(SENTENCE).document["sentences"] == before
        np.testing.assert_array_equal(scan.segment("lungs").arrays["labels"], labels)
    assert "Traceback" not in "".join(own_server.log)


def test_weights_that_go_or_are_overwritten_change_nothing_of_a_live_service(own_server, weights, chest):
    """The models are in memory, and a result names the weights that made it."""
    with own_server.client() as client, client.open(chest.voxels, chest.affine) as scan:
        before = scan.ground(SENTENCE).document
        sizes = {path: path.stat().st_size for path in weights.iterdir()}
        for path, size in sizes.items():
            path.write_bytes(b"\0" * (size // 2))
        moved = client.open(np.asfortranarray(chest.voxels + 1), chest.affine)
        assert moved.ground(SENTENCE).document["weights"] == before["weights"]
        assert scan.segment("lungs").arrays["labels"].any()
        shutil.rmtree(weights)
        assert client.capabilities()["weights"]["grounding"]["sha256"] == before["weights"]["sha256"]
        assert client.ask(wire.weights()).document["in_use"]
        after = scan.ground(SENTENCE).document
        assert (after["sentences"], after["weights"]) == (before["sentences"], before["weights"])
    assert "Traceback" not in "".join(own_server.log)
