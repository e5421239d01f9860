"""What a machine does to a run: a full disk, a kill, a home that cannot be written, weights that go, no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from chests import affine_of, chest_hu, volume_of
from hand_set_weights import write_bright_finder

from simcrop_core.cli.console import exit_code
from simcrop_core.errors import DeviceUnavailable, UnknownSession, UnknownWeights
from simcrop_core.imaging.passport import check
from simcrop_core.inference.device import resolve_device
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.models.weights import load_weights, save_weights
from simcrop_core.serve.store import Store
from simcrop_core.text.report import parse_sentence

ROOT = Path(__file__).parents[2]
SHAPE = (64, 48, 56)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's limits and signals")

WRITE_UNTIL_FULL = """
import resource, sys
import numpy as np
from simcrop_core.errors import CannotWrite
from simcrop_core.export.nifti import write_labelmap
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
labels = np.random.default_rng(0).integers(0, 9, (64, 64, 64)).astype(np.uint8)
for name in sys.argv[1:]:
    try:
        write_labelmap(name, labels, np.eye(4), {1: "left lung"})
    except CannotWrite as fault:
        print(fault.code, bool(fault.hint))
"""
WRITE_AND_WAIT = """
import sys, time
from simcrop_core.export.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    with temporary.open("wb") as file:
        file.write(b"half of it")
        file.flush()
        print("writing", flush=True)
        time.sleep(600)
"""
WRITE_MANY = """
import json, sys
from pathlib import Path
from simcrop_core.export.atomic import replacing
for n in range(150):
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_text(json.dumps([sys.argv[2]] * 5000))
"""
# Whatever looks a name up or connects ends the process with a code of its own.
NO_NETWORK = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        os.write(2, f"tried the network: {event} {arguments[1:]}".encode())
        os._exit(77)
sys.addaudithook(watch)
from simcrop_core.cli import main
main()
"""


def python(code, *arguments, **changes):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    )


@pytest.fixture(scope="module")
def volume():
    return volume_of(chest_hu, affine_of(signs=(-1, -1, 1), spacing=(6, 6, 6), shape=SHAPE), SHAPE)


@linux
def test_a_full_disk_leaves_the_older_file_and_says_so(tmp_path):
    """A limit on the size of files is what a full disk is to a writer: a write that fails half way."""
    targets = [tmp_path / f"labels{suffix}" for suffix in (".nii", ".nii.gz", ".nrrd", ".mha")]
    for target in targets:
        target.write_bytes(b"older")
    said, faults = python(WRITE_UNTIL_FULL, *targets).communicate(timeout=120)
    assert said.splitlines() == ["cannot-write True"] * 4, faults
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {path.name: b"older" for path in targets}


@linux
def test_a_kill_in_the_midst_of_writing_leaves_nothing_that_looks_whole(tmp_path):
    target = tmp_path / "01-heatmap.nii.gz"
    target.write_bytes(b"older")
    process = python(WRITE_AND_WAIT, target)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert target.read_bytes() == b"older"
    assert all(path.name.startswith(".") for path in tmp_path.iterdir() if path != target)


def test_two_processes_that_write_one_file_never_mix(tmp_path):
    target = tmp_path / "result.json"
    writers = [python(WRITE_MANY, target, who) for who in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if target.exists():
            seen.add(frozenset(json.loads(target.read_text(encoding="utf-8"))))
        time.sleep(0.002)
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert seen <= {frozenset("a"), frozenset("b")}
    assert seen
    assert list(tmp_path.iterdir()) == [target]


@linux
def test_without_network_and_with_a_home_that_cannot_be_written_a_run_is_whole(volume, bright_finder, tmp_path):
    scan = tmp_path / "chest.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume.voxels, volume.affine), scan)
    nowhere = "/proc/nowhere"
    arguments = ("ground", scan, "--sentence", "A mass.", "--weights", bright_finder, "--output", tmp_path / "out")
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HF_HOME"), nowhere)
    process = python(NO_NETWORK, *arguments, "--device", "cpu", **homes)
    _, faults = process.communicate(timeout=300)
    assert process.returncode == 0, faults
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(DeviceUnavailable) as fault:
        resolve_device("cuda")
    assert "--device auto" in fault.value.hint


def test_weights_that_vanish_are_named_by_the_next_run_and_missed_by_none_that_runs(volume, tmp_path):
    write_bright_finder(tmp_path / "weights")
    checked, passport = check(volume)
    asked = [parse_sentence("A mass.")]
    engine = Engine(str(tmp_path / "weights"), "cpu")
    engine.warm_up()
    before = Session(checked, passport, engine).ground(asked).result
    shutil.rmtree(tmp_path / "weights")
    assert Session(checked, passport, engine).ground(asked).result == before
    assert before.weights.sha256
    with pytest.raises(UnknownWeights) as fault:
        Engine(str(tmp_path / "weights"), "cpu")
    assert fault.value.hint


def test_weights_that_vanish_before_they_are_loaded_are_named(volume, tmp_path):
    write_bright_finder(tmp_path / "weights")
    engine = Engine(str(tmp_path / "weights"), "cpu")
    shutil.rmtree(tmp_path / "weights")
    checked, passport = check(volume)
    with pytest.raises(UnknownWeights):
        Session(checked, passport, engine).ground([parse_sentence("A mass.")])


def test_weights_that_were_replaced_are_not_taken_for_the_engines_own(tmp_path):
    """A scan that the device has no room for needs another copy of the model, from the same file."""
    write_bright_finder(tmp_path / "weights")
    engine = Engine(str(tmp_path / "weights"), "cpu")
    engine.warm_up()
    assert engine.grounding_model_on_cpu() is not engine.grounding_model
    tensors, metadata = load_weights(tmp_path / "weights" / "grounding.safetensors")
    changed = {key: tensor + 1 if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    save_weights(tmp_path / "weights" / "grounding.safetensors", changed, metadata)
    with pytest.raises(UnknownWeights, match="replaced"):
        engine.grounding_model_on_cpu()
    shutil.rmtree(tmp_path / "weights")
    with pytest.raises(UnknownWeights):
        engine.grounding_model_on_cpu()


def test_a_command_that_does_not_fit_in_memory_says_so(capsys):
    """A real allocation that no machine can make."""
    assert exit_code(lambda: np.ones(2**60, np.uint8).size) == 1
    assert "(out-of-memory)" in capsys.readouterr().err


def test_a_clock_that_goes_backwards_ends_no_session(engine, volume):
    now = [1000.0]
    store = Store(engine, 1 << 30, lambda: now[0])
    store.add("owner", "content", *check(volume))
    lease = store.open("owner", "content", force=False, lease_s=10)
    now[0] = 0.0
    store.sweep()
    assert store.lease("owner", lease.id) is lease
    now[0] = 10.5
    store.sweep()
    with pytest.raises(UnknownSession):
        store.lease("owner", lease.id)
    assert store.memory_bytes == 0


def test_a_clock_that_was_set_back_changes_no_byte(volume, tmp_path, monkeypatch):
    """Files hold no time, so it does not matter what time it is."""
    from simcrop_core.export.nifti import write_labelmap

    labels = np.ones(SHAPE, np.uint8)
    written = []
    for name, clock in (("now", time.time), ("then", lambda: 0.0)):
        monkeypatch.setattr(time, "time", clock)
        for suffix in (".nii.gz", ".nrrd", ".mha"):
            write_labelmap(tmp_path / f"{name}{suffix}", labels, volume.affine, {1: "left lung"})
            written.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert written[:3] == written[3:]
