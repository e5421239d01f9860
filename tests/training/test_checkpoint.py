"""A checkpoint is whole or it is not used, and the one before it is."""

from __future__ import annotations

import json
import logging
import shutil
import sys

import pytest
import torch
from simcrop_training.engine import checkpoint
from simcrop_training.engine.checkpoint import (
    Progress,
    fault_of,
    find_latest,
    load_latest,
    progress_of,
    save_checkpoint,
)
from simcrop_training.engine.errors import UnusableCheckpoints
from simcrop_training.engine.ranks import ALONE
from torch import nn


def network(value):
    """A small network with an optimiser that has moved; every number follows from `value`."""
    torch.manual_seed(value)
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    module(torch.randn(2, 3)).square().sum().backward()
    optimiser.step()
    return module, optimiser


def save(folder, step):
    module, optimiser = network(step)
    save_checkpoint(folder, Progress(step, seconds=step / 2), module, optimiser, ALONE)
    return module, optimiser


@pytest.fixture
def two(tmp_path):
    for step in (1, 2):
        save(tmp_path, step)
    return tmp_path


def test_what_was_saved_comes_back_to_the_last_bit(tmp_path):
    module, optimiser = save(tmp_path, 7)
    other, its = network(8)
    progress = load_latest(tmp_path, other, its, ALONE)
    assert progress == Progress(7, seconds=3.5)
    assert all(a.equal(b) for a, b in zip(module.parameters(), other.parameters(), strict=True))
    for a, b in zip(optimiser.state.values(), its.state.values(), strict=True):
        assert all(a[name].equal(b[name]) for name in ("step", "exp_avg", "exp_avg_sq"))


def test_the_newest_two_are_kept_and_the_pointer_names_the_newest(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-00000002", "step-00000003"]
    assert (tmp_path / "latest").read_text() == "step-00000003"


def cut_short(folder):
    shard = next(folder.glob("*.distcp"))
    shard.write_bytes(shard.read_bytes()[:-10])


def one_bit_turned(folder):
    shard = next(folder.glob("*.distcp"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


DAMAGES = {
    "instead of": cut_short,
    "content that was written": one_bit_turned,
    "is missing": lambda folder: (folder / ".metadata").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "cannot be read": lambda folder: (folder / "manifest.json").write_text('{"progress": {"step": 2'),
    "manifest cannot be read": lambda folder: (folder / "manifest.json").write_text('{"files": []}'),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_named(words, two, caplog):
    DAMAGES[words](two / "step-00000002")
    with caplog.at_level(logging.WARNING, "simcrop_training"):
        found = find_latest(two)
    assert found is not None
    assert progress_of(found).step == 1
    assert "step-00000002 is passed over" in caplog.text
    assert words in caplog.text


def test_a_save_that_was_cut_short_leaves_the_one_before(two):
    (two / ".writing-step-00000003").mkdir()
    found = find_latest(two)
    assert found is not None
    assert progress_of(found).step == 2
    save(two, 3)
    assert not list(two.glob(".writing-*"))


def test_nothing_is_deleted_when_the_new_one_does_not_verify(two, monkeypatch):
    """The disk gives back other bytes than were written."""
    monkeypatch.setattr(checkpoint, "fault_of", lambda _path: "it was damaged on its way.")
    save(two, 3)
    assert len(list(two.glob("step-*"))) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_said_and_leaves_the_one_before(two):
    """The kernel refuses to let files grow further, in the middle of a shard."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    module, optimiser = network(3)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="step 3"):
            save_checkpoint(two, Progress(3), module, optimiser, ALONE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fault_of(two / "step-00000002") is None
    assert find_latest(two) == two / "step-00000002"
    save(two, 3)
    assert find_latest(two) == two / "step-00000003"


def test_a_run_does_not_begin_anew_over_checkpoints_that_are_all_damaged(two):
    for folder in two.glob("step-*"):
        cut_short(folder)
    with pytest.raises(UnusableCheckpoints, match="None of the 2"):
        find_latest(two)


def test_no_checkpoint_is_no_fault(tmp_path):
    assert find_latest(tmp_path) is None
    save(tmp_path, 1)
    manifest = json.loads((tmp_path / "step-00000001" / "manifest.json").read_text())
    assert set(manifest["files"]) >= {".metadata"}
    shutil.rmtree(tmp_path / "step-00000001")
    assert find_latest(tmp_path) is None
