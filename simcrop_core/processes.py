"""Work over processes of this machine, none of which another has to wait for.

The standard library's pools share queues between their workers. One that the system ends may take a lock with it, or
end while another is being started, and the call never returns (seen with Python 3.11). Here each worker has a pipe of
its own, whose end says that the worker ended.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

from simcrop_core.errors import OutOfMemory

Item = TypeVar("Item")
Result = TypeVar("Result")


def over_processes(
    task: Callable[[Item], Result], items: Sequence[Item], workers: int, name: Callable[[Item], str] = str
) -> Generator[Result]:
    """Do a task for every item; results come as they are done. The first fault ends the rest.

    Items under way are finished before this returns, also after a fault, or when the generator is closed.

    Args:
        task: something that can be pickled.
        items: what it is given.
        workers: processes; one is this one.
        name: of an item, for the message below.

    Raises:
        OutOfMemory: a process ended by itself; names what was under way.
        RuntimeError: a result or a fault cannot be pickled; names it.
        Whatever `task` raises.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from (task(item) for item in items)
        return
    # Started afresh on every system: forked copies of a process with threads may hang.
    fresh = multiprocessing.get_context("spawn")
    waiting = deque(items)
    crew: list[_Worker[Item]] = []
    try:
        crew.extend(_Worker.started(fresh, task, waiting.popleft()) for _ in range(workers))
        while busy := [worker for worker in crew if worker.item is not None]:
            connection.wait([end for worker in busy for end in (worker.pipe, worker.process.sentinel)])
            for worker in busy:
                if not worker.has_news():
                    continue
                result = worker.result([name(w.item) for w in busy if w.item is not None])
                worker.give(waiting.popleft() if waiting else None)
                yield result
    finally:
        for worker in crew:
            worker.pipe.close()
        for worker in crew:
            worker.process.join()


@dataclass(slots=True)
class _Worker(Generic[Item]):
    """A process, this end of its pipe, and what it works on."""

    process: SpawnProcess
    pipe: Any  # a connection, whose type differs between systems
    item: Item | None = None

    @classmethod
    def started(cls, fresh: SpawnContext, task: Callable[[Item], Any], item: Item) -> _Worker[Item]:
        ours, theirs = fresh.Pipe()
        process = fresh.Process(target=_work, args=(task, theirs))
        process.start()
        # The pipe ends when its last holder does, which is to be the worker.
        theirs.close()
        worker = cls(process, ours)
        worker.give(item)
        return worker

    def give(self, item: Item | None) -> None:
        self.item = item
        if item is not None:
            # Where it has ended, `result` will say so.
            with contextlib.suppress(OSError):
                self.pipe.send(item)

    def has_news(self) -> bool:
        try:
            return bool(self.pipe.poll()) or not self.process.is_alive()
        except OSError:  # Windows says so where a pipe is broken
            return True

    def result(self, under_way: Sequence[str]) -> Any:
        try:
            if not self.pipe.poll():
                raise EOFError
            done, result = self.pipe.recv()
        except (EOFError, OSError) as fault:
            self.process.join()
            raise OutOfMemory(
                f"A worker process ended by itself (exit code {self.process.exitcode}), most likely for want of "
                f"memory, while these were under way: {', '.join(sorted(under_way))}.",
                hint="Give the same command again with fewer --workers: it goes on where it stopped.",
            ) from fault
        if not done:
            raise result
        return result


def _work(task: Callable[[Any], Any], pipe: Any) -> None:
    """What a worker does until its pipe is closed. Interrupts are the parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, task(item)
        except Exception as fault:  # noqa: BLE001 - raised again by the parent
            fault.add_note("".join(traceback.format_exception(fault)))
            answer = False, fault
        message = _message(*answer)
        try:
            pipe.send_bytes(message)
        except OSError:
            return  # the parent has ended, or wants no more


def _message(done: bool, content: Any) -> Any:
    """The bytes of an answer as a pipe's `recv` takes them: of a fault that names the content where it cannot go."""
    try:
        message = ForkingPickler.dumps((done, content))
        if not done:
            # Many faults go through one way only: their class wants more arguments than they keep.
            ForkingPickler.loads(message)
    except Exception as fault:  # noqa: BLE001 - whatever an object's own pickling raises
        what = "A result" if done else "A fault"
        replacement = RuntimeError(
            f"{what} of type {type(content).__qualname__} cannot be sent from a worker process: {fault!r}."
        )
        for note in getattr(content, "__notes__", ()):
            replacement.add_note(note)
        return ForkingPickler.dumps((False, replacement))
    return message
