"""One `simcrop-prepare` at a time works on a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from simcrop_core.errors import CannotWrite
from simcrop_training.store.files import LOCK


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a store for this process; the system lets go of it when the process ends, however it ends.

    Raises:
        CannotWrite: another process holds it, or it cannot be held.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as fault:
        raise CannotWrite(
            f"Another simcrop-prepare is at work on {folder}.", hint="Wait until it has ended, or stop it."
        ) from fault
    except (OSError, NotImplementedError) as fault:
        # The second is filelock's word for a file system that knows no locks.
        raise CannotWrite(f"{folder} cannot be locked: {fault}.", hint="See that you may write there.") from fault
    try:
        yield
    finally:
        lock.release()
