"""Work in slices without threads, over real sockets."""

from __future__ import annotations

import select
import socket
import time

import pytest
from SimCroPSlicerLib.connection import Lines
from SimCroPSlicerLib.line import Address
from SimCroPSlicerLib.tasks import PAUSE, Scheduler

from simcrop_core.errors import Cancelled, ServerUnreachable, SimCroPError
from simcrop_core.serve import wire


class OneServer:
    """A socket that the test answers by hand."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.now = 0.0
        self.lines = Lines(lambda: self.now)

    def connect(self, request):
        return self.lines.connect(request, Address("127.0.0.1", self.port, "token"))

    def accepted(self):
        there, _ = self.listener.accept()
        there.settimeout(5)
        return there


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
    """On a clock that only the work moves: a turn is never longer than its 12 ms and one step."""
    now, order = [0.0], []
    scheduler = Scheduler(server, lambda: None, lambda: now[0])

    def long():
        for _ in range(20):
            now[0] += 0.004
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
    assert scheduler.longest_turn_s <= 0.012 + 0.004


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


def test_a_step_that_took_the_whole_turn_is_not_followed_by_another(server):
    """On a clock of the test's own: steps of 30 ms hold the GUI for one of them, not for three."""
    now, seen = [0.0], []
    scheduler = Scheduler(server, lambda: None, clock=lambda: now[0])

    def heavy():
        for i in range(3):
            seen.append(i)
            now[0] += 0.030
            yield None

    scheduler.start("heavy", heavy(), done=lambda _: None, failed=seen.append)
    scheduler.turn()
    assert seen == [0]
    assert scheduler.longest_turn_s == pytest.approx(0.030)


def test_a_named_error_in_the_work_ends_it(server):
    scheduler, results = Scheduler(server, lambda: None), []

    def work():
        yield None
        raise SimCroPError("No.", hint="Why not.")

    scheduler.start("fail", work(), done=results.append, failed=results.append)
    assert not scheduler.turn()
    assert results[0].hint == "Why not."


def work_that_asks(times):
    for _ in range(times):
        answer = yield wire.health()
    return answer.document["n"]


def readable(there):
    return bool(select.select([there], [], [], 0)[0])


def heard(scheduler, there):
    data = b""
    while b"\r\n\r\n" not in data:
        turns(scheduler, lambda: readable(there))
        piece = there.recv(65536)
        assert piece, "the client hung up"
        data += piece


def answered(there, n, end=b"0\r\n\r\n", header=b""):
    body = b'{"n": %d}' % n
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + header
    there.sendall(head + b"\r\n%x\r\n%b\r\n" % (len(body), body) + end)


def begun(server, times):
    scheduler, results = Scheduler(server, lambda: None), []
    scheduler.start("ask", work_that_asks(times), done=results.append, failed=results.append)
    scheduler.turn()
    return scheduler, results


def nobody_else_came(server):
    server.listener.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.listener.accept()


def test_one_connection_serves_request_after_request(server):
    scheduler, results = begun(server, 3)
    there = server.accepted()
    for n in range(3):
        heard(scheduler, there)
        answered(there, n)
    turns(scheduler, lambda: results)
    assert results == [2]
    nobody_else_came(server)


def test_a_line_that_the_server_closed_is_replaced_without_a_word(server):
    """Closed before the next request, and closed under it: the request is asked again over a new connection."""
    scheduler, results = begun(server, 1)
    first = server.accepted()
    heard(scheduler, first)
    answered(first, 0)
    turns(scheduler, lambda: results)
    first.close()
    scheduler.start("ask", work_that_asks(1), done=results.append, failed=results.append)
    scheduler.turn()
    second = server.accepted()
    heard(scheduler, second)
    answered(second, 1)
    turns(scheduler, lambda: len(results) == 2)
    scheduler.start("ask", work_that_asks(1), done=results.append, failed=results.append)
    scheduler.turn()
    heard(scheduler, second)
    second.close()
    turns(scheduler, lambda: readable(server.listener))
    third = server.accepted()
    heard(scheduler, third)
    answered(third, 2)
    turns(scheduler, lambda: len(results) == 3)
    assert results == [0, 1, 2]


def test_a_line_is_not_used_again_too_late_or_where_the_server_says_so(server):
    scheduler, results = begun(server, 1)
    first = server.accepted()
    heard(scheduler, first)
    answered(first, 0)
    turns(scheduler, lambda: results)
    server.now += 61
    scheduler.start("ask", work_that_asks(1), done=results.append, failed=results.append)
    scheduler.turn()
    second = server.accepted()
    heard(scheduler, second)
    answered(second, 1, header=b"Connection: close\r\n")
    turns(scheduler, lambda: len(results) == 2)
    scheduler.start("ask", work_that_asks(1), done=results.append, failed=results.append)
    scheduler.turn()
    assert server.accepted() is not second


def test_a_cancelled_request_takes_its_line_along(server):
    scheduler, _ = begun(server, 2)
    there = server.accepted()
    heard(scheduler, there)
    scheduler.cancel_all()
    assert there.recv(1) == b""
