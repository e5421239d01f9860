"""Work done in threads a little ahead of whoever asks for it, in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from simcrop_core.errors import CannotWrite, SimCroPError
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.datasets.study import LeftOut

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def read_ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int = 1
) -> Generator[tuple[_Item, _Result], None, None]:
    """Items with their results, in order; at most `threads` + 1 results are held that nobody has asked for yet.

    Closing the iterator waits for what is under way and drops the rest.

    Args:
        function: runs in the threads.
        items: of the work.
        threads: side by side.
    """
    todo = iter(items)
    waiting: deque[tuple[_Item, Future[_Result]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
    try:
        while True:
            for item in itertools.islice(todo, threads + 1 - len(waiting)):
                waiting.append((item, pool.submit(function, item)))
            if not waiting:
                return
            item, coming = waiting.popleft()
            yield item, coming.result()
    finally:
        pool.shutdown(cancel_futures=True)


def noted(function: Callable[[LabelledScan], _Result]) -> Callable[[LabelledScan], _Result | LeftOut]:
    """The function with a note in place of an error of the scan's own; what cannot be written is no scan's fault."""

    def tried(scan: LabelledScan) -> _Result | LeftOut:
        try:
            return function(scan)
        except OSError as fault:
            return LeftOut(scan.name, "unreadable-file", f"{scan.path} cannot be read: {fault}.")
        except CannotWrite:
            raise
        except SimCroPError as fault:
            return LeftOut(scan.name, fault.code, fault.message)

    return tried
