"""Work over processes: all of it is done, faults come through, and one that the system ends is noticed at once."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import psutil
import pytest

from simcrop_core.errors import CannotWrite, OutOfMemory
from simcrop_core.processes import over_processes


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def fails_at_three(number: int) -> int:
    if number == 3:
        raise CannotWrite("no room", hint="make some")
    return number


def ends_at_three(number: int) -> int:
    if number == 3:
        os._exit(9)
    time.sleep(0.05)
    return number


class TwoPartFault(Exception):
    """Pickled with one argument, it cannot be made again, because it wants two."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def gives_a_lock_at_three(number: int) -> object:
    return threading.Lock() if number == 3 else number


def fails_with_a_lock_at_three(number: int) -> int:
    if number == 3:
        raise ValueError(threading.Lock())
    return number


def fails_in_two_parts_at_three(number: int) -> int:
    if number == 3:
        raise TwoPartFault("this", "that")
    return number


def children() -> list[psutil.Process]:
    """Workers that have not ended."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_is_done_once(workers):
    results = list(over_processes(squared, range(10), workers))
    assert sorted(square for square, _ in results) == [n * n for n in range(10)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)
    assert not children()


def test_no_items_and_no_process():
    assert list(over_processes(squared, [], 4)) == []


def test_a_fault_comes_through_with_its_hint_and_where_it_was():
    with pytest.raises(CannotWrite, match="no room") as fault:
        list(over_processes(fails_at_three, range(6), 2))
    assert fault.value.hint == "make some"
    assert "fails_at_three" in fault.value.__notes__[0]
    assert not children()


@pytest.mark.parametrize(
    ("task", "named"),
    [
        (gives_a_lock_at_three, "result of type lock cannot be sent .*lock"),
        (fails_with_a_lock_at_three, "fault of type ValueError cannot be sent .*lock"),
        (fails_in_two_parts_at_three, "fault of type TwoPartFault cannot be sent .*second"),
    ],
)
def test_what_cannot_be_sent_is_named_instead_of_ending_its_worker(task, named):
    with pytest.raises(RuntimeError, match=named) as fault:
        list(over_processes(task, range(6), 2))
    if "fault" in named:
        assert task.__name__ in fault.value.__notes__[0]
    assert not children()


def test_a_worker_that_ends_is_a_named_fault_that_says_what_was_under_way():
    with pytest.raises(OutOfMemory, match=r"exit code 9.*: .*item 3") as fault:
        list(over_processes(ends_at_three, range(6), 2, name=lambda number: f"item {number}"))
    assert "fewer --workers" in fault.value.hint
    assert not children()


def test_workers_killed_while_they_start_are_noticed():
    """In about one of ten, the standard library's pool would wait for ever."""
    for _ in range(5):
        faults: list[OutOfMemory] = []
        thread = threading.Thread(target=lambda told=faults: told.append(ending()))
        thread.start()
        while thread.is_alive():
            for child in children():
                child.kill()
        assert "under way" in str(faults[0])


def ending() -> OutOfMemory:
    with pytest.raises(OutOfMemory) as fault:
        list(over_processes(squared, range(1000), 2))
    return fault.value


def test_a_closed_generator_finishes_what_is_under_way_and_leaves_no_process():
    running = over_processes(squared, range(100), 2)
    next(running)
    running.close()
    assert not children()
