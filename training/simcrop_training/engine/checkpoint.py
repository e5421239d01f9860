"""Checkpoints of a run: whole or absent on disk, the newest readable one is where a run goes on.

output/
    checkpoints/step-000120.pt   module, optimiser, step, seconds spent
    log.jsonl                    one line a step or measurement
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

_KEEP = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after `step` steps that took `seconds` of training."""

    step: int
    seconds: float
    module: dict[str, Any]
    optimiser: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint under a temporary name, move it into place, then remove all but the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint.step:06d}.pt"
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        state = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    for old in sorted(folder.glob("step-*.pt"))[:-_KEEP]:
        old.unlink()


def find_latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read, or None."""
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        try:
            return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, EOFError, RuntimeError, BadZipFile, pickle.UnpicklingError):
            # Cut short by a crash of the machine itself: the one before it is still there.
            continue
    return None
