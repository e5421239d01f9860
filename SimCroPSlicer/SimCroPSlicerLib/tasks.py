"""Work written as one reads it, done in slices between the GUI's own events: no threads.

A task is a generator. It yields a `Request` and is sent the answer's `ResultEvent`; it yields None where its turn may
end, and `PAUSE` where it must, because it waits for another task; it may delegate to other such generators; what it
returns is its result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, Final, Literal, Protocol

from simcrop_core.errors import Cancelled, SimCroPError
from simcrop_core.serve import wire
from SimCroPSlicerLib.connection import Connection

PAUSE: Final = "pause"
Yielded = wire.Request | Literal["pause"] | None
Work = Generator[Yielded, Any, Any]
# The GUI is held no longer than this by one turn, unless one single step takes longer.
TURN_S = 0.012
# One before the task's own work or the network's, one before it is read, one before its event is followed by another.
_SURE_QUESTIONS = 3


class Share:
    """A task's part of a turn. The first questions are answered yes whatever the time is, so that nothing starves.

    Args:
        clock: in seconds.
        end: of the part, on that clock.
    """

    def __init__(self, clock: Callable[[], float], end: float) -> None:
        self._clock, self._end = clock, end
        self._asked = 0

    def left(self) -> bool:
        """Whether there is time."""
        return self._clock() < self._end

    def more(self) -> bool:
        """Whether to go on."""
        self._asked += 1
        return self._asked <= _SURE_QUESTIONS or self.left()


class Network(Protocol):
    """Where requests go."""

    def connect(self, request: wire.Request) -> Connection:
        """Send a request off.

        Raises:
            ServerUnreachable: there is no engine.
        """


class Task:
    """One piece of work under way.

    Args:
        title: in the user's words.
        work: the generator.
        network: where its requests go.
        done: called with its result.
        failed: called with what went wrong; also `Cancelled`.
        progress: called with every step that the engine reports.
    """

    def __init__(
        self,
        title: str,
        work: Work,
        network: Network,
        *,
        done: Callable[[Any], None],
        failed: Callable[[SimCroPError], None],
        progress: Callable[[wire.ProgressEvent], None],
    ) -> None:
        self.title = title
        self.finished = False
        self._work = work
        self._network = network
        self._done, self._failed, self._progress = done, failed, progress
        self._connection: Connection | None = None
        self._cancelled = False
        self._paused = False

    def cancel(self) -> None:
        """Give it up: hang up, which stops the engine's work too, and tell `failed`."""
        self._cancelled = True
        if not self.finished:
            self._throw(Cancelled(f"{self.title}: stopped.", hint=""))

    def turn(self, share: Share) -> None:
        """Go on while there is time; a step of the task's own is followed by another only then."""
        go_on = share.more
        while not self.finished and go_on():
            if self._connection is None:
                self._paused = False
                self._advance(None)
                if self._paused:
                    return
                go_on = share.left
            elif not self._poll(self._connection, share.more):
                return

    def _poll(self, connection: Connection, more: Callable[[], bool]) -> bool:
        """One look at the network; whether the answer is there."""
        try:
            for event in connection.poll(more):
                if isinstance(event, wire.ProgressEvent):
                    self._progress(event)
                elif isinstance(event, wire.ResultEvent):
                    self._release()
                    self._advance(event)
                    return True
                elif isinstance(event, wire.FaultEvent):
                    self._release()
                    self._throw(event.error())
                    return True
        except SimCroPError as fault:
            self._throw(fault)
            return True
        return False

    def _advance(self, answer: wire.ResultEvent | None) -> None:
        self._step(lambda: self._work.send(answer))

    def _throw(self, fault: SimCroPError) -> None:
        self._hang_up()
        self._step(lambda: self._work.throw(fault))

    def _step(self, resume: Callable[[], Yielded]) -> None:
        try:
            self._take(resume())
        except StopIteration as stop:
            result = stop.value
            self._end(lambda: self._done(result))
        except SimCroPError as fault:
            self._work.close()
            named = fault
            self._end(lambda: self._failed(named))
        except BaseException:
            self.finished = True
            raise

    def _take(self, yielded: Yielded) -> None:
        if self._cancelled:
            raise Cancelled(f"{self.title}: stopped.")
        if yielded == PAUSE:
            self._paused = True
        elif yielded is not None:
            assert isinstance(yielded, wire.Request)
            self._connection = self._network.connect(yielded)

    def _end(self, tell: Callable[[], None]) -> None:
        self._hang_up()
        self.finished = True
        tell()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Scheduler:
    """The tasks under way, each given its turn; the newest first, so that typing is answered before anything else.

    Args:
        network: where requests go.
        wake: called when there is work, so that turns begin.
        clock: in seconds.
    """

    def __init__(self, network: Network, wake: Callable[[], None], clock: Callable[[], float] = time.perf_counter):
        self._network = network
        self._wake = wake
        self._clock = clock
        self._tasks: list[Task] = []
        self.longest_turn_s = 0.0

    @property
    def tasks(self) -> list[Task]:
        """Those under way, oldest first."""
        return list(self._tasks)

    def start(
        self,
        title: str,
        work: Work,
        *,
        done: Callable[[Any], None],
        failed: Callable[[SimCroPError], None],
        progress: Callable[[wire.ProgressEvent], None] = lambda _event: None,
    ) -> Task:
        """Begin a piece of work; its callbacks come from later turns, never from here."""
        task = Task(title, work, self._network, done=done, failed=failed, progress=progress)
        self._tasks.append(task)
        self._wake()
        return task

    def cancel_all(self) -> None:
        """Give everything up."""
        for task in self.tasks:
            task.cancel()

    def turn(self) -> bool:
        """Give every task a share of one turn; whether any is left."""
        began = self._clock()
        for place, task in enumerate(reversed(self.tasks)):
            end = began + TURN_S * (place + 1) / max(1, len(self._tasks))
            task.turn(Share(self._clock, end))
        self._tasks = [task for task in self._tasks if not task.finished]
        self.longest_turn_s = max(self.longest_turn_s, self._clock() - began)
        return bool(self._tasks)
