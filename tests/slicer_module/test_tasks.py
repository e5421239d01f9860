"""Work in slices without threads, over real sockets."""

from __future__ import annotations

import socket
import time

import pytest
from SimCroPSlicerLib.connection import Address, Connection
from SimCroPSlicerLib.tasks import PAUSE, Scheduler

from simcrop_core.errors import Cancelled, ServerUnreachable, SimCroPError
from simcrop_core.serve import wire


class OneServer:
    """A socket that the test answers by hand."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def connect(self, request):
        return Connection(request, Address("127.0.0.1", self.port, "token"))


@pytest.fixture
def server():
    listening = OneServer()
    yield listening
    listening.listener.close()


def turns(scheduler, until, patience_s=5):
    end = time.monotonic() + patience_s
    while not until():
        assert time.monotonic() < end
        scheduler.turn()


def test_an_answer_that_comes_in_pieces_is_sent_into_the_task(server):
    scheduler, results, steps = Scheduler(server, lambda: None), [], []

    def work():
        answer = yield wire.health()
        return answer.document["status"]

    scheduler.start("ask", work(), done=results.append, failed=results.append, progress=steps.append)
    scheduler.turn()
    there, _ = server.listener.accept()
    turns(scheduler, lambda: b"\r\n\r\n" in there.recv(4096, socket.MSG_PEEK))
    assert b"Bearer token" in there.recv(4096)
    frames = wire.line("progress", stage="Encoding", done=1, total=2, eta_s=1.5)
    frames += wire.line("result", document={"status": "ready"})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {wire.CONTENT_TYPE}\r\nContent-Length: {len(frames)}\r\n\r\n".encode()
    for at in range(0, len(head + frames), 7):
        there.sendall((head + frames)[at : at + 7])
        scheduler.turn()
    turns(scheduler, lambda: results)
    assert results == ["ready"]
    assert steps == [wire.ProgressEvent("Encoding", 1, 2, 1.5)]
    assert scheduler.tasks == [] or not scheduler.turn()


def test_nobody_at_the_address_is_said_by_name():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    closed, results = OneServer(), []
    closed.listener.close()
    closed.port = port
    scheduler = Scheduler(closed, lambda: None)

    def work():
        yield wire.health()

    scheduler.start("ask", work(), done=results.append, failed=results.append)
    turns(scheduler, lambda: results)
    assert isinstance(results[0], ServerUnreachable)


def test_a_server_that_dies_in_the_middle_is_said_by_name(server):
    scheduler, results = Scheduler(server, lambda: None), []

    def work():
        yield wire.health()

    scheduler.start("ask", work(), done=results.append, failed=results.append)
    scheduler.turn()
    there, _ = server.listener.accept()
    there.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
    there.close()
    turns(scheduler, lambda: results)
    assert isinstance(results[0], ServerUnreachable)


def test_cancelling_hangs_up_and_tells(server):
    scheduler, results = Scheduler(server, lambda: None), []

    def work():
        yield wire.health()

    task = scheduler.start("ask", work(), done=results.append, failed=results.append)
    scheduler.turn()
    there, _ = server.listener.accept()
    task.cancel()
    assert isinstance(results[0], Cancelled)
    there.settimeout(2)
    while there.recv(4096):
        pass
    assert not scheduler.turn()


def test_long_work_is_spread_over_turns_and_a_younger_task_is_served_meanwhile(server):
    scheduler, order = Scheduler(server, lambda: None), []

    def long():
        for _ in range(20):
            time.sleep(0.004)
            yield None

    def short():
        yield None
        return "short"

    scheduler.start("long", long(), done=lambda _: order.append("long"), failed=order.append)
    scheduler.turn()
    scheduler.start("short", short(), done=order.append, failed=order.append)
    count = 0
    while scheduler.turn():
        count += 1
    assert order == ["short", "long"]
    assert count >= 4
    assert scheduler.longest_turn_s < 0.1


def test_a_waiting_task_takes_one_step_a_turn(server):
    scheduler, seen = Scheduler(server, lambda: None), []

    def waiting():
        for i in range(3):
            seen.append(i)
            yield PAUSE

    scheduler.start("wait", waiting(), done=lambda _: None, failed=seen.append)
    scheduler.turn()
    assert seen == [0]
    scheduler.turn()
    assert seen == [0, 1]


def test_a_named_error_in_the_work_ends_it(server):
    scheduler, results = Scheduler(server, lambda: None), []

    def work():
        yield None
        raise SimCroPError("No.", hint="Why not.")

    scheduler.start("fail", work(), done=results.append, failed=results.append)
    assert not scheduler.turn()
    assert results[0].hint == "Why not."
