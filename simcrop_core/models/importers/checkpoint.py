"""A third-party checkpoint, opened without running anything that is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from safetensors.torch import load
from torch import Tensor

from simcrop_core.errors import IncompatibleWeights, UnknownWeights, UnsafeWeights
from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.importers import pickle_reader
from simcrop_core.models.importers.pickle_reader import REFUSAL_FILE, REST_FILE, TENSORS_FILE
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.progress import Job

_WRAPPERS = ("module.", "_orig_mod.")
_GIB = 2**30
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What the child process that opens a pickled checkpoint may use.

    Attributes:
        file_bytes: the largest file that is opened at all (ViT-B with its optimiser state: 3 GB).
        seconds: wall-clock time.
        memory_bytes: beside three times the file's size.
    """

    file_bytes: int = 16 * _GIB
    seconds: float = 600.0
    memory_bytes: int = 2 * _GIB


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        source: the file.
        sha256: of the file.
        tensors: the model's, without the prefixes that data-parallel and compiled models add.
        values: what lies beside the model (epoch, arguments), as plain JSON.
        not_tensors: keys of the model that hold something else.
    """

    source: Path
    sha256: str
    tensors: dict[str, Tensor]
    values: dict[str, Any] = field(default_factory=dict)
    not_tensors: tuple[str, ...] = ()


_DEFAULT_LIMITS = ReaderLimits()


def read_checkpoint(source: Path, limits: ReaderLimits = _DEFAULT_LIMITS, job: Job | None = None) -> Checkpoint:
    """Read the tensors of a `.safetensors` file, or of a pickle (`.pth`, `.pt`, `.bin`) in a child process.

    Args:
        source: the file; a pickle may hold the model at its top level, under `model` or under `state_dict`.
        limits: of the child process.
        job: stops the child process when it is cancelled.

    Raises:
        UnknownWeights: no such file, cut short, or without a model's tensors.
        UnsafeWeights: the file holds something else than tensors and plain values, or exceeds the limits.
        IncompatibleWeights: two tensors have one name once the prefixes are off.
        Cancelled: through `job`.
    """
    source = source.resolve()
    if not source.is_file():
        raise UnknownWeights(f"There is no file {source}.", hint="Check the path.")
    size = source.stat().st_size
    if size > limits.file_bytes:
        raise UnsafeWeights(
            f"{source.name} is {size / _GIB:.1f} GiB large; no checkpoint of these models is.",
            hint="Check that it is the model's file.",
        )
    if source.suffix == ".safetensors":
        return Checkpoint(source, sha256_of(source), _unwrapped(load_tensors(source)))
    with tempfile.TemporaryDirectory(prefix="simcrop-import-", ignore_cleanup_errors=True) as folder:
        tensors, rest = _read_in_child(source, Path(folder), limits, job or Job())
    return Checkpoint(source, sha256_of(source), _unwrapped(tensors), rest["values"], tuple(rest["not_tensors"]))


def _read_in_child(
    source: Path, folder: Path, limits: ReaderLimits, job: Job
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    log = folder / "reader.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            # -P: nothing in the current directory can stand in for a package.
            [sys.executable, "-P", "-m", pickle_reader.__name__, str(source), str(folder)],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(child, source, limits, job)
        finally:
            child.kill()
            child.wait()
    if (folder / REFUSAL_FILE).is_file():
        refusal = json.loads((folder / REFUSAL_FILE).read_text(encoding="utf-8"))
        kind = UnsafeWeights if refusal["code"] == UnsafeWeights.code else UnknownWeights
        raise kind(refusal["message"], hint=refusal["hint"])
    if child.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
        raise UnsafeWeights(
            f"The process that opened {source.name} failed: {lines[-1]}.",
            hint="The file is damaged, or made to do harm. Ask its makers for a safetensors file.",
        )
    rest: dict[str, Any] = json.loads((folder / REST_FILE).read_text(encoding="utf-8"))
    return load((folder / TENSORS_FILE).read_bytes()), rest


def _watch(child: subprocess.Popen[bytes], source: Path, limits: ReaderLimits, job: Job) -> None:
    """Wait for the child, within its time and memory; the same on every platform.

    Raises:
        UnsafeWeights: it exceeds one of them.
        Cancelled: through `job`.
    """
    most_bytes = limits.memory_bytes + 3 * source.stat().st_size
    end = time.monotonic() + limits.seconds
    while child.poll() is None:
        job.step(f"Opening {source.name}", 0, 0)
        exceeded = "time" if time.monotonic() > end else "memory" if _memory_of(child.pid) > most_bytes else None
        if exceeded:
            raise UnsafeWeights(
                f"Opening {source.name} took more {exceeded} than a checkpoint of its size can need; it was stopped.",
                hint="The file is damaged, or made to do harm. Ask its makers for a safetensors file.",
            )
        time.sleep(_POLL_S)


def _memory_of(pid: int) -> int:
    """Bytes of resident memory; 0 once the process has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _environment() -> dict[str, str]:
    """The child finds packages where this process does, and no accelerator."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "CUDA_VISIBLE_DEVICES": ""}


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names they have in the bare model, which reports can print."""
    bare: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name = key
        while name.startswith(_WRAPPERS):
            name = name.partition(".")[2]
        if not name.isprintable():
            raise UnsafeWeights(
                f"The name of a tensor, {name!a}, holds control characters.", hint="The file is made to do harm."
            )
        if name in bare:
            raise IncompatibleWeights(
                f"The file holds {name} twice, with and without a prefix.", hint="Save the bare model's state dict."
            )
        bare[name] = tensor
    return bare
