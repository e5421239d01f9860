"""torchrun with a changing number of machines: the run goes on with those that are left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_run import losses, run

STEPS = {"steps": 40, "checkpoint_s": 0.0}


def machine(port, folder):
    """One torchrun agent with one process, of one or two."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (root, root / "training", Path(__file__).parent)))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1",
        "--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "tiny",
        str(Path(__file__).with_name("tiny_run.py")), json.dumps({str(folder): STEPS}),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def hosts(port):
    """Whether somebody has opened the rendezvous; the one who did must not be the one that is lost."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def lost(agent):
    """A machine goes down: the agent and its processes, which have sessions of their own."""
    everything = psutil.Process(agent.pid)
    for process in [everything, *everything.children(recursive=True)]:
        process.kill()
    agent.communicate()


def worlds(folder):
    """How many processes each start of the run had."""
    manifests = sorted((folder / "checkpoints").glob("step-*/manifest.json"))
    return [json.loads(path.read_text())["progress"]["world"] for path in manifests]


@pytest.mark.slow
def test_a_machine_is_lost_and_the_other_ends_the_run(tmp_path):
    run(tmp_path / "whole", **STEPS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "parts"
    deadline = time.monotonic() + 900
    first = machine(port, folder)
    while not hosts(port):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second = machine(port, folder)
    while not (worlds(folder) and worlds(folder)[-1] == 2):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    lost(second)
    said, _ = first.communicate(timeout=900)
    assert first.returncode == 0, said
    assert worlds(folder)[-1] == 1
    assert losses(folder) == losses(tmp_path / "whole")
