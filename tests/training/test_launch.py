"""The launch files start what they say, on the machine at hand: torchrun itself, and Slurm's commands played."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ct_rate_files import CtRateFolder, save_lps
from simcrop_training.datasets.find import read_data_set
from simcrop_training.engine.checkpoint import find_latest, progress_of
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.volume import Settings
from store_making import MINILM, one_process
from tiny_run import losses

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(sys.platform == "win32" or BASH is None, reason="the launch files are for bash")

LAUNCH = Path(__file__).parents[2] / "training" / "launch"

# One machine is every node: each gets the command, as one task a node does, and signals go to all.
SRUN = """#!/usr/bin/env bash
pids=()
for node in $(seq "$SLURM_NNODES"); do "$@" & pids+=($!); done
trap 'kill -TERM "${pids[@]}"' TERM
status=0
for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" || status=$?; done
done
exit $status
"""
SCONTROL = """#!/usr/bin/env bash
case "$1" in
    show) echo localhost ;;
    requeue) echo "$2" >> "$REQUEUED" ;;
esac
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory, coarse_chest):
    """Six chests, enough for the steps of the recipe `smoke`, two of them held out."""
    folder = tmp_path_factory.mktemp("launched")
    source = CtRateFolder(folder / "source")
    for number in range(6):
        split = "valid" if number > 3 else "train"
        path = source.scan(f"{split}_{number}_a_1", findings=f"Trachea is open. Finding {number} is seen.",
                           impression="Lung nodule.", XYSpacing="[4, 4]", ZSpacing="4")  # fmt: skip
        save_lps(path, np.roll(coarse_chest, number, axis=2), (4, 4, 4))
    prepare(read_data_set(source.write()), folder / "store", Settings(), one_process, encoders=[MINILM])
    return folder / "store"


def environment(tmp_path, **values):
    """This Python's programs first on the path, and Slurm's two commands."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    root = Path(__file__).parents[2]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(map(str, (root, root / "training"))),
        "OMP_NUM_THREADS": "1",
        **values,
    }


def resumed(folder):
    return [line for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "resumed" in line]


@pytest.mark.parametrize("path", sorted(LAUNCH.iterdir()), ids=lambda path: path.name)
def test_a_launch_file_is_bash(path):
    assert BASH is not None
    subprocess.run([BASH, "-n", path], check=True)


@pytest.mark.slow
def test_one_machine_trains_on_two_processes(store, tmp_path):
    output = tmp_path / "out"
    command = [LAUNCH / "single_node.sh", "smoke", "--store", store, "--output", output]
    subprocess.run(command, env=environment(tmp_path, PROCESSES="2"), check=True)
    latest = find_latest(output / "checkpoints")
    assert latest is not None
    assert (progress_of(latest).step, progress_of(latest).world) == (3, 2)
    assert (output / "grounding.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_machine_saves_at_the_end_of_the_step_when_it_is_stopped(number, store, tmp_path):
    output = tmp_path / "out"
    command = [LAUNCH / "single_node.sh", "smoke", "--steps", "1000", "--store", store, "--output", output]
    run = subprocess.Popen(command, env=environment(tmp_path, PROCESSES="2"), start_new_session=True)
    until_steps_are_done(run, output)
    os.killpg(run.pid, number)  # as a terminal does
    run.wait()
    latest = find_latest(output / "checkpoints")
    assert latest is not None
    assert progress_of(latest).step == max(losses(output))


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "gpus"), [(1, 2), (2, 1)])
def test_a_slurm_job_whose_time_is_up_saves_and_goes_on_when_it_is_queued_again(nodes, gpus, store, tmp_path):
    assert BASH is not None
    output, requeued = tmp_path / "out", tmp_path / "requeued"
    job = str(free_job())
    slurm = {
        "SLURM_JOB_ID": job, "SLURM_NNODES": str(nodes), "SLURM_GPUS_ON_NODE": str(gpus),
        "SLURM_JOB_NODELIST": "localhost", "REQUEUED": str(requeued),
    }  # fmt: skip
    command = [BASH, LAUNCH / "slurm.sbatch", "smoke", "--steps", "12", "--store", store, "--output", output]
    run = subprocess.Popen(command, env=environment(tmp_path, **slurm))
    until_steps_are_done(run, output)
    run.send_signal(signal.SIGUSR1)
    run.wait()
    assert requeued.read_text().split() == [job]
    latest = find_latest(output / "checkpoints")
    assert latest is not None
    saved = progress_of(latest)
    assert (saved.step, saved.world) == (max(losses(output)), 2)
    assert saved.step < 12
    subprocess.run(command, env=environment(tmp_path, **slurm), check=True)
    assert resumed(output) == [{"resumed": saved.step, "ranks_then": 2, "ranks_now": 2}]
    assert sorted(losses(output)) == list(range(1, 13))
    assert (output / "grounding.safetensors").is_file()
    assert requeued.read_text().split() == [job]


def until_steps_are_done(run, output):
    while not (output / "log.jsonl").exists() or not losses(output):
        assert run.poll() is None
        time.sleep(0.05)


def free_job():
    """A job's number; its port, 20000 and the last four digits, is used by nobody."""
    for number in range(1000, 10000):
        with socket.socket() as free:
            if free.connect_ex(("127.0.0.1", 20000 + number)):
                return number
    raise AssertionError("every port is in use")
