"""What is stopped, cut off or killed: everybody hears of it in time, and nothing stays behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from served import ROOT, TOKEN, ready_of, start

from simcrop_core.errors import Cancelled, ServerBusy, ServerUnreachable, SimCroPError, UnknownSession
from simcrop_core.serve import wire
from simcrop_core.serve.client import Call, Client

SENTENCE = ["Nodule in the right upper lobe."]
# A machine that does other work too answers later; the promise itself is checked where the machine is idle.
PATIENCE = float(os.environ.get("SIMCROP_TEST_PATIENCE", "1"))


def in_background(task, call):
    """The task in a thread, begun and reporting; the list gets how it ended."""
    ended = []

    def work():
        try:
            ended.append(task(call))
        except SimCroPError as fault:
            ended.append(fault)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, ended


def reporting():
    began = threading.Event()
    return Call(lambda _: began.set()), began


def eventually(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


def test_a_running_request_is_cancelled_within_a_second(scan):
    call, began = reporting()
    thread, ended = in_background(lambda call: scan.segment("lungs", call=call), call)
    assert began.wait(60)
    asked = time.monotonic()
    call.cancel()
    thread.join(20)
    assert time.monotonic() - asked < 1
    assert isinstance(ended[0], Cancelled)
    assert scan.ground(SENTENCE).document["sentences"]


def test_cancelling_by_id_answers_within_a_second_and_frees_the_lane(scan, client):
    request = wire.segment(scan.id, "lungs")
    call, began = reporting()
    thread, ended = in_background(lambda call: client.ask(request, call), call)
    assert began.wait(60)
    asked = time.monotonic()
    assert client.ask(wire.cancel(request.id)).document["cancelled"]
    thread.join(20)
    assert time.monotonic() - asked < 1 + PATIENCE
    assert isinstance(ended[0], Cancelled)
    assert client.ask(wire.cancel(request.id)).document == {"cancelled": False}


def test_a_call_cancelled_before_it_begins_asks_nothing(scan):
    call = Call()
    call.cancel()
    with pytest.raises(Cancelled):
        scan.ground(SENTENCE, call=call)


def test_a_typed_sentence_does_not_wait_for_a_segmentation(scan):
    scan.ground(["The first sentence after a while."])
    call, began = reporting()
    thread, ended = in_background(lambda call: scan.segment("chest", call=call), call)
    assert began.wait(60)
    took = []
    for n in range(8):
        if ended:
            break
        asked = time.monotonic()
        scan.ground([f"Nodule of {n} mm in the lingula."])
        took.append(time.monotonic() - asked)
        time.sleep(0.1)
    still_at_it = not ended
    call.cancel()
    thread.join(30)
    assert took
    assert still_at_it or len(took) >= 3
    assert sorted(took)[len(took) // 2] < PATIENCE


def test_a_storm_of_cancelled_requests_gives_every_place_back(narrow_server, chest):
    """Forty requests, each cut off at another moment, to a server with two places in its queue."""
    with narrow_server.client() as client, client.open(chest.voxels, chest.affine) as scan:
        scan.encode()
        threads = []
        for n in range(40):
            call = Call()
            request = wire.segment(scan.id, "lungs") if n % 2 else wire.ground(scan.id, sentences=SENTENCE)
            thread, _ = in_background(lambda call, request=request: client.ask(request, call), call)
            threading.Timer(0.02 * (n % 10), call.cancel).start()
            threads.append(thread)
            time.sleep(0.03)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        eventually(lambda: _both_places_are_free(scan))


def _both_places_are_free(scan):
    call, began = reporting()
    thread, ended = in_background(lambda call: scan.segment("lungs", call=call), call)
    try:
        return began.wait(10) and not ended and bool(scan.ground(SENTENCE).document["sentences"])
    except ServerBusy:
        return False
    finally:
        call.cancel()
        thread.join(30)


def test_a_client_killed_while_it_sends_leaves_nothing(server, client):
    held = client.capabilities()["memory"]["scans_bytes"]
    voxels = np.zeros((200, 200, 200), np.int16)
    for cut_after in (0, 1, 5):
        exchange = wire.Exchange(wire.upload(voxels, np.eye(4), coding="raw"), "x", TOKEN)
        with socket.create_connection(("127.0.0.1", server.ready["port"])) as connection:
            for n, piece in enumerate(exchange.outgoing()):
                connection.sendall(piece if n < cut_after else piece[: len(piece) // 2])
                if n == cut_after:
                    break
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: client.capabilities()["memory"]["scans_bytes"] == held)
    assert "Traceback" not in "".join(server.log)


def test_small_answers_are_not_held_back(scan, client):
    """Forty milliseconds are what an answer waits where the system is left to gather small packets."""
    took = []
    for _ in range(40):
        asked = time.monotonic()
        client.ask(wire.heartbeat(scan.id))
        took.append(time.monotonic() - asked)
    assert sorted(took)[10] < 0.03


def test_answers_that_begin_before_the_body_was_sent_do_not_disturb_the_next_request(scan):
    """The server needs no body to check; what was announced must follow all the same."""
    for _ in range(40):
        assert scan.check()["lungs_found"]
        scan.encode()
    assert scan.ground(SENTENCE).document["sentences"]


def test_nobody_there_is_said_by_name():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServerUnreachable) as fault:
        Client(f"http://127.0.0.1:{port}", TOKEN).health()
    assert fault.value.hint
    for address in ("nowhere", "http://", "ftp://127.0.0.1:1", "http://127.0.0.1:port", "http://[::1"):
        with pytest.raises(ServerUnreachable):
            Client(address, TOKEN).health()


def test_a_proxy_of_the_environment_is_not_asked(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with server.client() as client:
        assert client.health()["status"] == "ready"


def test_a_server_killed_at_work_and_started_again_is_found_again(chest, tmp_path):
    """Killed hard: the client is told within a second; after a restart on the same port it opens the scan again."""
    first = start(folder=tmp_path)
    again = None
    client = first.client()
    try:
        scan = client.open(chest.voxels, chest.affine)
        call, began = reporting()
        thread, ended = in_background(lambda call: scan.segment("lungs", call=call), call)
        assert began.wait(60)
        killed = time.monotonic()
        first.process.kill()
        thread.join(20)
        assert time.monotonic() - killed < 1 + PATIENCE
        assert isinstance(ended[0], SimCroPError)
        with pytest.raises(ServerUnreachable):
            scan.ground(SENTENCE)
        again = start("--port", first.ready["port"], folder=tmp_path)
        with pytest.raises(UnknownSession) as fault:
            scan.ground(SENTENCE)
        assert fault.value.hint
        scan.reopen()
        assert scan.ground(SENTENCE).document["sentences"]
    finally:
        client.close()
        first.stop()
        if again is not None:
            again.stop()


def test_the_server_ends_with_its_parent_and_on_request(tmp_path):
    """Also when the parent is killed hard; and a server whose client asks it to end does."""
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    child = start("--parent-pid", parent.pid, "--local", folder=tmp_path, wait=False)
    other = start("--local", folder=tmp_path, wait=False)
    try:
        ready_of(child)
        ready_of(other)
        parent.kill()
        parent.wait()
        with other.client() as client:
            client.shutdown()
        for served in (child, other):
            assert served.process.wait(30) == 0
        assert not psutil.pid_exists(child.ready["pid"])
    finally:
        parent.kill()
        child.stop()
        other.stop()


def test_without_a_token_or_on_a_taken_port_it_does_not_start(server, tmp_path):
    command = [sys.executable, "-m", "simcrop_core.cli", "serve"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("SIMCROP_SERVE_TOKEN", None)
    none = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, env=environment, timeout=120)
    assert none.returncode == 1
    assert "not-authorised" in none.stderr
    taken = subprocess.run(
        [*command, "--port", str(server.ready["port"])],
        capture_output=True,
        text=True,
        env={**environment, "SIMCROP_SERVE_TOKEN": "x"},
        timeout=120,
    )
    assert taken.returncode == 1
    assert "cannot-listen" in taken.stderr
    assert not taken.stdout


def test_what_a_killed_server_left_on_the_disk_is_gone(server, temporary_folder):
    assert not (temporary_folder / "simcrop-serve-999999999-left").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_over_tls_the_certificate_is_checked(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    served = start("--tls-certificate", certificate, "--tls-key", key, folder=tmp_path)
    try:
        assert served.address.startswith("https://")
        with served.client(ca_file=certificate) as client:
            assert client.health()["protocol"] == wire.PROTOCOL
        with pytest.raises(ServerUnreachable, match="certificate"):
            served.client().health()
        with pytest.raises(SimCroPError):
            Client(served.address.replace("https", "http"), TOKEN).health()
    finally:
        served.stop()
