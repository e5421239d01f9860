"""What tests of the training store share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from simcrop_training.prepare.volume import Settings
from simcrop_training.prepare.workers import over_processes

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.presets import PRETRAINING_PRESETS

MINILM = PRETRAINING_PRESETS["small"].text
one_process = partial(over_processes, workers=1)
# A sixteenth of the voxels, for tests that make stores of their own.
QUICK = Settings(frame=FrameConfig(spacing_mm=(6.0, 6.0, 12.0), shape=(56, 56, 28), patch=(4, 4, 2)))


def records_of(folder: Path) -> dict[Path, int]:
    """The store's records and when each was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("records/*/[!.]*.json")}


def content_of(folder: Path) -> dict[str, bytes]:
    """Everything that a reader of the store sees."""
    names = ("manifest.json", "README.md", "tables/*.jsonl", "embeddings/*.npy", "volumes/*/*.b2nd")
    paths = [path for name in names for path in folder.glob(name)]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
