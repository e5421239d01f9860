"""Third-party files are opened without running anything in them, or refused by name."""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
import torch
from checkpoints import encoder_state
from safetensors.torch import load_file, save_file

from simcrop_core.errors import Cancelled, IncompatibleWeights, UnknownWeights, UnsafeWeights
from simcrop_core.models.importers.checkpoint import ReaderLimits, read_checkpoint
from simcrop_core.models.importers.pickle_reader import REFUSAL_FILE, main, read_pickle
from simcrop_core.progress import Job

STATE = encoder_state(depth=1)


class Touches:
    """A pickle of this makes a file when it is opened carelessly."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def attacks(path):
    return {
        "shell": Touches(os.system, f"echo x > {path}"),
        "exec": Touches(exec, f"open({str(path)!r}, 'w')"),
        "path": Touches(pathlib.Path.touch, path),
        "open": Touches(open, str(path), "w"),
    }


@pytest.mark.parametrize("attack", ["shell", "exec", "path", "open"])
@pytest.mark.parametrize("hide", ["model", "args", "bare", "raw"])
def test_code_in_a_pickle_does_not_run(tmp_path, attack, hide):
    """Beside tensors, inside the accepted Namespace, at the top level, and in a pickle without archive."""
    proof, source = tmp_path / "harm", tmp_path / "simcrop.pth"
    harm = attacks(proof)[attack]
    hidden = {
        "model": {"model": {**STATE, "extra": harm}},
        "args": {"model": STATE, "args": argparse.Namespace(lr=0.1, hook=harm)},
        "bare": harm,
        "raw": harm,
    }[hide]
    if hide == "raw":
        source.write_bytes(pickle.dumps(hidden, protocol=2))
    else:
        torch.save(hidden, source)
    with pytest.raises(UnsafeWeights):
        read_pickle(source, tmp_path)
    assert not proof.exists()


def test_the_child_process_refuses_by_name_too(tmp_path):
    """The same attack on the way that users go; opened carelessly it would have worked."""
    proof, source = tmp_path / "harm", tmp_path / "simcrop.pth"
    torch.save({"model": {**STATE, "extra": attacks(proof)["exec"]}}, source)
    with pytest.raises(UnsafeWeights, match="exec") as fault:
        read_checkpoint(source)
    assert "safetensors" in fault.value.hint
    assert not proof.exists()
    torch.load(source, weights_only=False)
    assert proof.exists()


@pytest.fixture
def trapped_folder(tmp_path, monkeypatch):
    """The current folder has modules that stand in for packages, if they are found."""
    (tmp_path / "torch.py").write_text("raise SystemExit('hijacked')")
    (tmp_path / "simcrop_core").mkdir()
    (tmp_path / "simcrop_core" / "__init__.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)


def test_everything_a_training_run_leaves_is_read(tmp_path, trapped_folder):
    """Model under 'model', data-parallel and compiled prefixes, optimiser, arguments, numpy scores."""
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    checkpoint = {
        "model": collections.OrderedDict({f"module._orig_mod.{key}": value for key, value in STATE.items()}),
        "optimizer": optimiser.state_dict(),
        "scaler": {},
        "epoch": 139,
        "best_acc": np.float64(0.83),
        "best_auc": np.float32(0.83),
        "args": argparse.Namespace(lr=1.5e-4, betas=(0.9, 0.95), output_dir="out", device=torch.device("cuda")),
    }
    torch.save(checkpoint, tmp_path / "checkpoint-139.pth")
    read = read_checkpoint(tmp_path / "checkpoint-139.pth")
    assert read.tensors.keys() == STATE.keys()
    assert all(torch.equal(read.tensors[key], STATE[key]) for key in STATE)
    assert read.values["epoch"] == 139
    assert read.values["args"]["betas"] == [0.9, 0.95]
    assert read.not_tensors == ()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("archive", [True, False])
def test_old_and_new_containers_hold_the_same(tmp_path, archive, protocol):
    torch.save(
        {"state_dict": STATE},
        tmp_path / "model.pt",
        _use_new_zipfile_serialization=archive,
        pickle_protocol=protocol,
    )
    assert main(tmp_path / "model.pt", tmp_path) == 0
    assert not (tmp_path / REFUSAL_FILE).exists()


def test_tied_half_precision_and_bfloat16_tensors_come_through(tmp_path):
    table = torch.randn(4, 3)
    state = {"a": table, "tied": table, "half": table.half(), "brain": table.bfloat16(), "view": table.T}
    torch.save(state, tmp_path / "bare.bin")
    read_pickle(tmp_path / "bare.bin", tmp_path)
    read = load_file(tmp_path / "tensors.safetensors")
    assert all(torch.equal(read[key], state[key]) for key in state)


def test_safetensors_are_read_as_they_are(tmp_path):
    save_file({f"module.{key}": tensor for key, tensor in STATE.items()}, tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path / "model.safetensors").tensors.keys() == STATE.keys()


def test_two_tensors_of_one_name_are_refused(tmp_path):
    save_file({"module.norm.bias": torch.ones(2), "norm.bias": torch.zeros(2)}, tmp_path / "m.safetensors")
    with pytest.raises(IncompatibleWeights, match=r"norm\.bias twice"):
        read_checkpoint(tmp_path / "m.safetensors")


def test_names_that_a_terminal_would_obey_are_refused(tmp_path):
    save_file({"norm\x1b[2J": torch.ones(2)}, tmp_path / "m.safetensors")
    with pytest.raises(UnsafeWeights, match=r"norm\\x1b") as fault:
        read_checkpoint(tmp_path / "m.safetensors")
    assert "\x1b" not in fault.value.message


def refused(source, folder):
    """The reader's refusal code, in this process."""
    assert main(source, folder) == 1
    return (folder / REFUSAL_FILE).read_text()


@pytest.mark.parametrize("archive", [True, False])
def test_a_file_cut_short_is_refused_by_name(tmp_path, archive):
    whole = tmp_path / "whole.pth"
    torch.save({"model": {"w": torch.randn(100, 100)}}, whole, _use_new_zipfile_serialization=archive)
    content = whole.read_bytes()
    for share in (0.0, 0.001, 0.01, 0.3, 0.9, 0.999):
        (tmp_path / "cut.pth").write_bytes(content[: int(share * len(content))])
        assert "unknown-weights" in refused(tmp_path / "cut.pth", tmp_path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_noise_in_a_file_never_gets_through_unnamed(tmp_path):
    """Bytes changed anywhere in pickle or archive: the tensors, or a refusal by name."""
    torch.save({"model": {"w": torch.ones(3)}}, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    dice = random.Random(7)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(min(400, len(damaged)))] = dice.randrange(256)
        (tmp_path / "damaged.pth").write_bytes(damaged)
        assert main(tmp_path / "damaged.pth", tmp_path) in (0, 1)


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "notes.pth").write_text("not a checkpoint")
    assert "unknown-weights" in refused(tmp_path / "notes.pth", tmp_path)
    torch.save({"optimizer": {"lr": 1.0}, "epoch": 3}, tmp_path / "no_model.pth")
    assert "unknown-weights" in refused(tmp_path / "no_model.pth", tmp_path)
    torch.save([1, 2, 3], tmp_path / "list.pth")
    assert "unknown-weights" in refused(tmp_path / "list.pth", tmp_path)
    with pytest.raises(UnknownWeights, match="no file"):
        read_checkpoint(tmp_path / "absent.pth")


def test_whole_modules_and_programs_are_refused_by_name(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    assert "unsafe-weights" in refused(tmp_path / "module.pth", tmp_path)
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        archive.writestr("program/constants.pkl", b"\x80\x02).")
        archive.writestr("program/data.pkl", b"\x80\x02}.")
    assert "unsafe-weights" in refused(tmp_path / "program.pt", tmp_path)


def test_archives_that_unpack_to_more_than_they_are_are_refused_by_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\x00" * 50_000_000)
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    assert "unsafe-weights" in refused(tmp_path / "bomb.pth", tmp_path)
    torch.save({"model": {"w": torch.ones(4)}}, tmp_path / "claims.pth")
    content = bytearray((tmp_path / "claims.pth").read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 2**31)
    (tmp_path / "claims.pth").write_bytes(content)
    assert "unsafe-weights" in refused(tmp_path / "claims.pth", tmp_path)


def test_tensors_that_claim_more_than_the_file_holds_are_refused_by_name(tmp_path):
    torch.save({"model": {"w": torch.ones(1).expand(10**12)}}, tmp_path / "expanded.pth")
    with pytest.raises(UnsafeWeights, match="more values"):
        read_pickle(tmp_path / "expanded.pth", tmp_path)
    torch.save({"model": {"w": torch.eye(3).to_sparse()}}, tmp_path / "sparse.pth")
    with pytest.raises(UnsafeWeights):
        read_pickle(tmp_path / "sparse.pth", tmp_path)


def test_values_that_grow_when_they_are_walked_do_not(tmp_path):
    """Lists of lists of one list: small in the file, endless on paper."""
    value = [0] * 50
    for _ in range(20):
        value = [value] * 50
    torch.save({"model": {"w": torch.ones(1)}, "args": argparse.Namespace(value=value)}, tmp_path / "laughs.pth")
    read_pickle(tmp_path / "laughs.pth", tmp_path)
    assert (tmp_path / "rest.json").stat().st_size < 100_000


def test_a_file_too_large_is_not_opened(tmp_path):
    with (tmp_path / "huge.pth").open("wb") as file:
        file.truncate(40 * 2**30)
    with pytest.raises(UnsafeWeights, match=r"40\.0 GiB"):
        read_checkpoint(tmp_path / "huge.pth")


def test_the_child_process_is_stopped_at_its_limits(tmp_path):
    torch.save({"model": STATE}, tmp_path / "m.pth")
    with pytest.raises(UnsafeWeights, match="more time"):
        read_checkpoint(tmp_path / "m.pth", ReaderLimits(seconds=0.1))
    with pytest.raises(UnsafeWeights, match="more memory"):
        read_checkpoint(tmp_path / "m.pth", ReaderLimits(memory_bytes=2**20))


def test_the_child_process_is_stopped_with_its_job(tmp_path):
    torch.save({"model": STATE}, tmp_path / "m.pth")
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        read_checkpoint(tmp_path / "m.pth", job=job)
