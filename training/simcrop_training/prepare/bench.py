"""How fast samples come out of a store, beside the same samples out of the files it was made from."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np

from simcrop_core.imaging.frame import frame_volume
from simcrop_core.progress import Job
from simcrop_training.datasets.study import DataSet
from simcrop_training.prepare.report import ReadingNote
from simcrop_training.prepare.volume import checked_scan
from simcrop_training.store.records import Triple, Volume
from simcrop_training.store.store import Store

# Reading a file takes a second: a few tell.
_FILES = 5


def measure_reading(data: DataSet, store: Store, crops: int, *, job: Job | None = None) -> ReadingNote:
    """Cut random crops out of a warm store, and make the same kind of sample out of the data set's files.

    A file's sample is what training without a store would do: read, check, resample the frame. One thread cuts crops;
    a file is read as `simcrop ground` reads it.

    Args:
        data: what the store was made from.
        store: the store.
        crops: how many.
        job: told of both.
    """
    job = job or Job()
    rng = np.random.default_rng(0)
    volumes = store.volumes
    chosen = [volumes[int(rng.integers(len(volumes)))] for _ in range(crops)]
    starts = [_random_start(store, volume, rng) for volume in chosen]
    for volume in set(chosen):  # warm: the operating system has read each shard before
        store.crop(volume, volume.frame_start)
    places = iter(zip(chosen, starts, strict=True))
    from_store = _timed("Cutting crops", crops, lambda: store.crop(*next(places)), job)
    sources = [v for study in data.studies for v in study.volumes if v.name in {held.name for held in volumes}]
    files = itertools.cycle(sources)
    from_files = _timed(
        "Reading files", min(_FILES, crops), lambda: frame_volume(checked_scan(next(files))[0], store.frame), job
    )
    crop_bytes = 2 * int(np.prod(store.frame.shape))
    return ReadingNote(
        crops=crops,
        crops_per_s=round(1 / from_store[0], 2),
        crops_per_core_s=round(1 / from_store[1], 2),
        gigabytes_per_s=round(crop_bytes / from_store[0] / 1e9, 3),
        files=min(_FILES, crops),
        files_per_s=round(1 / from_files[0], 3),
        files_per_core_s=round(1 / from_files[1], 3),
        times_faster=round(from_files[1] / from_store[1], 1),
    )


def _random_start(store: Store, volume: Volume, rng: np.random.Generator) -> Triple:
    """Anywhere that keeps the crop inside what is stored, or the frame's own place where nothing is to spare."""
    x, y, z = (
        int(rng.integers(0, stored - wanted + 1)) if stored > wanted else start
        for stored, wanted, start in zip(volume.shape, store.frame.shape, volume.frame_start, strict=True)
    )
    return x, y, z


def _timed(stage: str, count: int, work: Callable[[], object], job: Job) -> tuple[float, float]:
    """Mean seconds by the clock, and of processor time, of one piece of work."""
    clock, processor = 0.0, 0.0
    for done in range(count):
        job.step(stage, done, count)
        began, spent = time.perf_counter(), time.process_time()
        work()
        clock += time.perf_counter() - began
        processor += time.process_time() - spent
    return clock / count, processor / count
