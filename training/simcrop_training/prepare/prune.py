"""Delete what a store keeps of scans that it no longer holds."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from simcrop_core.progress import Job
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.prepare.report import PruneNote
from simcrop_training.store.files import (
    EMBEDDINGS,
    GROUNDING,
    ORGANS,
    PARTS,
    RECORDS,
    VOLUMES,
    organs_path,
    record_path,
    sample_path,
    shard_path,
)
from simcrop_training.store.store import Store

# What a run of `simcrop-prepare` writes, besides tables and embeddings, which go when a new manifest comes.
_WRITTEN = {
    VOLUMES: re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}\.b2nd"),
    ORGANS: re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}\.b2nd"),
    RECORDS: re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{30}\.json"),
    GROUNDING: re.compile(r"[^/]+/[^/.][^/]*\.npz"),
    f"{EMBEDDINGS}/{PARTS}": re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.npy"),
}


def prune_store(folder: Path, sources: Sequence[SourceVolume], job: Job) -> PruneNote:
    """Delete what neither the manifest nor a scan of the data set refers to.

    Files that `simcrop-prepare` did not write stay. However far it came, the store is whole: what the manifest names is
    looked at first and never touched.

    Args:
        folder: of a finished store, which the caller has locked.
        sources: the scans of the data set.
        job: told of the files.

    Raises:
        UnreadableFile, DamagedStore: the store is not whole; nothing is deleted.
        Cancelled: `job` was asked to stop.
    """
    kept = _named(Store.open(folder), sources)
    stale = [path for path in _written(folder) if path not in kept]
    files = freed = 0
    for done, path in enumerate(stale):
        job.step("Deleting what is stale", done, len(stale))
        size = path.stat().st_size
        # Windows keeps a file that a training run has mapped; the next run deletes it.
        with contextlib.suppress(PermissionError):
            path.unlink()
            files, freed = files + 1, freed + size
    return PruneNote(files, freed)


def _named(store: Store, sources: Sequence[SourceVolume]) -> set[Path]:
    """What the manifest names, records of the data set's scans (refused ones too), and samples of those held."""
    folder, held = store.folder, {volume.name for volume in store.volumes}
    named = {shard_path(folder, volume.digest) for volume in store.volumes}
    named |= {organs_path(folder, volume.organs.digest) for volume in store.volumes if volume.organs is not None}
    named |= {record_path(folder, source.name) for source in sources}
    outlined = ((source.masks.split, source.name) for source in sources if source.masks and source.name in held)
    return named | {sample_path(folder, split, name) for split, name in outlined}


def _written(folder: Path) -> Iterator[Path]:
    for part, names in _WRITTEN.items():
        for path in sorted((folder / part).rglob("*")):
            if names.fullmatch(path.relative_to(folder / part).as_posix()) and path.is_file():
                yield path
