"""The scans of a data set over the machines of a Ray cluster (extra `cluster`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from simcrop_core.errors import CannotWrite, MissingDependency, ServerUnreachable
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.prepare.record import Record, record_fields, record_of, store_volume
from simcrop_training.prepare.run import Machines
from simcrop_training.prepare.volume import Settings

# A scan of a large chest, decoded, resampled and compressed.
_MEMORY = 1.5 * 2**30


def on_cluster(address: str) -> Machines:
    """Machines that store scans as tasks of Ray Data, on a file system that all of them see.

    A task is `store_volume`, so one that Ray repeats, because its machine died, writes the same bytes under the same
    name. No voxel travels: tasks get names and give back records.

    Args:
        address: of the cluster, such as "auto" or "ray://head:10001".

    Raises:
        MissingDependency: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as fault:
        raise MissingDependency(
            "Ray is not installed.", hint="pip install 'simcrop[cluster]', or leave --cluster away and use --workers."
        ) from fault

    def machines(folder: Path, sources: Sequence[SourceVolume], settings: Settings, /) -> Generator[Record]:
        if not sources:
            return
        try:
            ray.init(address=address, ignore_reinit_error=True, logging_level=logging.WARNING)
        except ConnectionError as fault:
            raise ServerUnreachable(
                f"There is no Ray cluster at {address}: {fault}.", hint="Start one with `ray start --head`."
            ) from fault
        ray.data.DataContext.get_current().enable_progress_bars = False
        store, by_name = folder.resolve(), {source.name: source for source in sources}

        def stored(row: dict[str, Any]) -> dict[str, str]:
            """A full disk comes back as words: raised here, it would reach the user as a traceback of Ray's."""
            try:
                record = store_volume(store, by_name[row["item"]], settings)
            except CannotWrite as fault:
                return {"record": "", "fault": fault.message, "hint": fault.hint}
            return {"record": json.dumps(record_fields(record)), "fault": "", "hint": ""}

        tasks = ray.data.from_items(list(by_name), override_num_blocks=len(by_name))
        for row in tasks.map(stored, num_cpus=1, memory=_MEMORY).iter_rows():
            if row["fault"]:
                raise CannotWrite(row["fault"], hint=row["hint"])
            yield record_of(json.loads(row["record"]))

    return machines
