"""Checkpoints of a run: whole or absent on disk, resharded on loading, never deleted before a newer one is proven.

output/checkpoints/
    latest                      name of the newest one
    step-000120/                module, optimiser (torch.distributed.checkpoint)
        manifest.json           step, seconds, hashes and sizes of all files; written last
    .writing-step-000140/       a save that was cut short; removed by the next

A save is written into a temporary folder, flushed to the disk, hashed from there, and renamed; then `latest` moves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from simcrop_training.engine.errors import UnusableCheckpoints
from simcrop_training.engine.ranks import Ranks

_KEEP = 2
_MANIFEST = "manifest.json"
_CHUNK = 1 << 22
# A frozen text encoder comes from its own file, not from checkpoints.
_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)

_log = logging.getLogger("simcrop_training")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        step: steps done.
        seconds: of training.
        passed_over: steps in a row, up to this one, whose gradient was not finite.
        recipe: what is learned, as far as two runs must agree on it to be one.
        world: processes that wrote it; those that go on may be more or fewer.
    """

    step: int = 0
    seconds: float = 0.0
    passed_over: int = 0
    recipe: dict[str, Any] = field(default_factory=dict)
    world: int = 1


def save_checkpoint(folder: Path, progress: Progress, module: nn.Module, optimiser: Optimizer, ranks: Ranks) -> None:
    """Write a checkpoint on all ranks, make it the latest, then remove all but the newest two.

    Raises:
        OSError: the disk is full or not writable; earlier checkpoints are as they were.
    """
    final = folder / _name(progress.step)
    writing = folder / f".writing-{final.name}"
    _on_first(ranks, lambda: _begin(writing))
    fault = _write_shards(writing, module, optimiser, ranks)
    if any(ranks.gathered(fault is not None)):
        raise OSError(f"No checkpoint was written at step {progress.step}.") from fault
    _on_first(ranks, lambda: _seal(writing, final, progress))
    _on_first(ranks, lambda: _clean(folder, final))


def _on_first(ranks: Ranks, work: Callable[[], None]) -> None:
    """Do something on the first rank; the others wait for it, and a fault of the disk is a fault of all."""
    fault: OSError | None = None
    if ranks.first:
        try:
            work()
        except OSError as error:
            fault = error
    said = ranks.told(None if fault is None else str(fault))
    if said is not None:
        raise OSError(said) from fault


def _begin(writing: Path) -> None:
    writing.parent.mkdir(parents=True, exist_ok=True)
    for left_over in writing.parent.glob(".writing-*"):
        shutil.rmtree(left_over)
    writing.mkdir()


def _write_shards(writing: Path, module: nn.Module, optimiser: Optimizer, ranks: Ranks) -> BaseException | None:
    """Write this rank's part; a fault is returned, so that all ranks can learn of it before any of them goes on."""
    model, optim = get_state_dict(module, optimiser, options=_OPTIONS)
    writer = FileSystemWriter(writing, sync_files=True, overwrite=True)
    try:
        with _one_process_is_meant():
            save({"module": model, "optimiser": optim}, storage_writer=writer, no_dist=ranks.world == 1)
    except (OSError, RuntimeError, CheckpointException) as fault:
        return fault
    return None


@contextmanager
def _one_process_is_meant() -> Iterator[None]:
    """PyTorch warns of a checkpoint by a single process, which is how most runs begin."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _seal(writing: Path, final: Path, progress: Progress) -> None:
    files = {path.name: [path.stat().st_size, _sha256(path)] for path in sorted(writing.iterdir())}
    manifest = {"progress": asdict(progress), "files": files}
    _write_durably(writing / _MANIFEST, json.dumps(manifest, indent=1))
    if final.exists():
        shutil.rmtree(final)
    writing.rename(final)
    _flush_folder(final.parent)
    pointer = final.parent / ".latest"
    _write_durably(pointer, final.name)
    pointer.replace(final.parent / "latest")
    _flush_folder(final.parent)


def _clean(folder: Path, newest: Path) -> None:
    """Remove old checkpoints, once the newest was read back and found whole."""
    fault = fault_of(newest)
    if fault is not None:
        _log.warning("The checkpoint just written, %s, cannot be used: %s Older ones are kept.", newest, fault)
        return
    for old in sorted(folder.glob("step-*"))[:-_KEEP]:
        if old != newest:
            shutil.rmtree(old)


def load_latest(
    folder: Path, module: nn.Module, optimiser: Optimizer, ranks: Ranks, recipe: Mapping[str, Any] | None = None
) -> Progress | None:
    """Go on from the newest usable checkpoint; those passed over are named in the log, with the reason.

    Args:
        folder: of the checkpoints.
        module: takes the tensors; may be sharded over another number of ranks than wrote them.
        optimiser: takes its state.
        ranks: of this run.
        recipe: of this run; checkpoints of another one are not loaded.

    Returns:
        How far it was, or None where there is no checkpoint.

    Raises:
        UnusableCheckpoints: there are some, but none is whole, or they are of another recipe.
    """
    path = _agreed_latest(folder, ranks)
    if path is None:
        return None
    progress, asked = progress_of(path), dict(recipe or {})
    if progress.recipe != asked:
        differ = sorted(k for k in progress.recipe.keys() | asked if progress.recipe.get(k) != asked.get(k))
        raise UnusableCheckpoints(
            f"{folder} holds another run: {', '.join(differ)} differ.",
            hint="Give the new run a folder of its own, or the recipe that the old one had.",
        )
    model, optim = get_state_dict(module, optimiser, options=_OPTIONS)
    state = {"module": model, "optimiser": optim}
    with _one_process_is_meant():
        load(state, storage_reader=FileSystemReader(path), no_dist=ranks.world == 1)
    set_state_dict(module, optimiser, model_state_dict=model, optim_state_dict=optim, options=_OPTIONS)
    return progress


def _agreed_latest(folder: Path, ranks: Ranks) -> Path | None:
    """What the first rank found, or its complaint, on all of them."""
    found: Path | UnusableCheckpoints | None = None
    if ranks.first:
        try:
            found = find_latest(folder)
        except UnusableCheckpoints as fault:
            found = fault
    found = ranks.told(found)
    if isinstance(found, UnusableCheckpoints):
        raise found
    return found


def find_latest(folder: Path) -> Path | None:
    """The newest checkpoint that is whole, or None where there is none at all.

    Raises:
        UnusableCheckpoints: there are some, but none is whole.
    """
    candidates = sorted(folder.glob("step-*"), reverse=True)
    for path in candidates:
        fault = fault_of(path)
        if fault is None:
            return path
        _log.warning("Checkpoint %s is passed over: %s", path, fault)
    if candidates:
        raise UnusableCheckpoints(
            f"None of the {len(candidates)} checkpoints in {folder} is whole.",
            hint="Restore one of them, or remove the folder to begin anew.",
        )
    return None


def fault_of(path: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None for one that is whole."""
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        Progress(**manifest["progress"])
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in manifest["files"].items()}
    except FileNotFoundError:
        return "it has no manifest."
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its manifest cannot be read."
    for name, (size, digest) in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing."
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes instead of {size}."
        if _sha256(file) != digest:
            return f"{name} does not have the content that was written."
    return None


def progress_of(path: Path) -> Progress:
    """How far a whole checkpoint is."""
    return Progress(**json.loads((path / _MANIFEST).read_text(encoding="utf-8"))["progress"])


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system lets one open a folder."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
