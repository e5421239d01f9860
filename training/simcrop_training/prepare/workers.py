"""The scans of a data set over the processes of one machine."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

from simcrop_core import processes
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.prepare.record import Record, store_volume
from simcrop_training.prepare.volume import Settings


def over_processes(
    folder: Path, sources: Sequence[SourceVolume], settings: Settings, workers: int
) -> Generator[Record]:
    """Store every scan; records come as they are done. A fault of the store ends the rest.

    Args:
        folder: of the store.
        sources: the scans.
        settings: what is stored of each.
        workers: processes; one is this one.

    Raises:
        CannotWrite: no room or no rights in the store.
        OutOfMemory: the system ended a process.
    """
    store = partial(_store, folder, settings)
    yield from processes.over_processes(store, sources, workers, name=lambda source: source.name)


def _store(folder: Path, settings: Settings, source: SourceVolume) -> Record:
    return store_volume(folder, source, settings)
