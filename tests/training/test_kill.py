"""Killed anywhere, on any number of ranks, a run ends with the losses of one that was left alone."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time

import pytest
from simcrop_training.engine.checkpoint import find_latest, progress_of
from tiny_run import ended, losses, run, start

# A checkpoint after every step, so that many kills fall into a save.
EAGER = {"checkpoint_s": 0.0}


def kill(ranks):
    """As the kernel does when memory runs out: no handler, no last word."""
    for rank in ranks:
        with contextlib.suppress(ProcessLookupError):
            rank.kill()
    for rank in ranks:
        rank.communicate()


def killed_in_a_save(ranks, folder):
    """Kill as soon as a save has begun; whether one had."""
    while all(rank.poll() is None for rank in ranks):
        if list((folder / "checkpoints").glob(".writing-*")):
            break
        time.sleep(0.001)
    kill(ranks)
    return bool(list((folder / "checkpoints").glob(".writing-*")))


def killed_after(ranks, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and all(rank.poll() is None for rank in ranks):
        time.sleep(0.01)
    kill(ranks)


def test_a_run_killed_in_a_save_goes_on_with_other_ranks_as_if_nothing_had_been(tmp_path):
    run(tmp_path / "whole", **EAGER)
    parts = tmp_path / "parts"
    assert killed_in_a_save(start(1, {parts: EAGER}), parts)
    ended(start(2, {parts: EAGER}))
    assert losses(parts) == losses(tmp_path / "whole")


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path):
    steps = {**EAGER, "steps": 60}
    run(tmp_path / "whole", **steps)
    parts, draw, in_saves, kills = tmp_path / "parts", random.Random(5), 0, 0
    for _ in range(20):
        ranks = start(draw.choice([1, 2, 3]), {parts: steps})
        if draw.random() < 0.5:
            in_saves += killed_in_a_save(ranks, parts)
        else:
            killed_after(ranks, draw.uniform(2.0, 20.0))
        kills += 1
    ended(start(3, {parts: steps}))
    assert kills >= 20
    assert in_saves >= 3
    assert losses(parts) == losses(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals to another process")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_to_one_rank_saves_at_the_end_of_the_step_and_stops_all(name, tmp_path):
    ranks = start(2 if name == "SIGTERM" else 1, {tmp_path: {"steps": 10**6, "checkpoint_s": 1e6}})
    while not (tmp_path / "log.jsonl").exists() or len(losses(tmp_path)) < 2:
        assert all(rank.poll() is None for rank in ranks), ranks[0].communicate()
        time.sleep(0.05)
    ranks[-1].send_signal(getattr(signal, name))
    said = ended(ranks)
    latest = find_latest(tmp_path / "checkpoints")
    assert latest is not None
    assert progress_of(latest).step == max(losses(tmp_path))
    assert f"ended {max(losses(tmp_path))} {int(getattr(signal, name))}" in said[0]
