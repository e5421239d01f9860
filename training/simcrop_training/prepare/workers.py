"""The scans of a data set over the processes of one machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from simcrop_core.errors import OutOfMemory
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
    workers = min(workers, len(sources))
    if workers <= 1:
        yield from (store_volume(folder, source, settings) for source in sources)
        return
    # Started afresh on every system: forked copies of a process with threads may hang.
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=fresh, initializer=_leave_interrupts_to_parent)
    waiting, under_way = deque(sources), dict[Future[Record], str]()
    try:
        while waiting or under_way:
            # The pool's own queue cannot be called back, so it is given no more than it works on.
            while waiting and len(under_way) < workers:
                source = waiting.popleft()
                under_way[pool.submit(store_volume, folder, source, settings)] = source.name
            finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
                del under_way[future]
    except BrokenProcessPool as fault:
        raise OutOfMemory(
            "The system ended a worker process, most likely for want of memory, while these were under way: "
            f"{', '.join(sorted(under_way.values()))}.",
            hint="Give the same command again with fewer --workers: it goes on where it stopped.",
        ) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
