"""Who is let in, what is kept, what is refused: on a real server, over real HTTP and bare sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import zlib

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from served import OTHER_TOKEN, TOKEN

from simcrop_core.errors import (
    BadRequest,
    BrokenAnswer,
    BrokenGeometry,
    Cancelled,
    NotASingleVolume,
    NotAuthorised,
    NotHounsfield,
    OutOfMemory,
    ServerBusy,
    SimCroPError,
    TooLarge,
    UnknownSession,
    UnknownVolume,
)
from simcrop_core.serve import wire
from simcrop_core.serve.client import Call, Client

SENTENCE = ["Nodule in the right upper lobe."]


def smaller(shape):
    return volume_of(chest_hu, affine_of(shape=shape, spacing=(4.0, 4.0, 4.0)), shape)


def eventually(holds, seconds=10.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


def raw(server, data):
    """Bytes to the server, and everything it says."""
    with socket.create_connection(("127.0.0.1", server.ready["port"]), timeout=60) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def post(path, body, *headers, token=TOKEN):
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "Connection: close"]
    head += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def told(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "é"])
def test_without_the_token_nothing_is_told(server, token):
    request = f"GET /v1/capabilities HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    status, document = told(raw(server, request.encode()))
    assert status == 401
    assert document["code"] == "not-authorised"
    for path in ("/v1/openapi.json", "/docs", "/", "/v1/sessions/x"):
        assert raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()).split()[1] == b"401"


def test_health_needs_no_token(server):
    with Client(server.address, "") as stranger:
        assert stranger.health()["status"] == "ready"
        with pytest.raises(NotAuthorised) as fault:
            stranger.capabilities()
        assert fault.value.hint


def test_nothing_of_one_token_is_visible_to_another(server, scan, chest):
    with server.client(OTHER_TOKEN) as other:
        for request in (wire.session(scan.id), wire.heartbeat(scan.id), wire.close_session(scan.id)):
            with pytest.raises(UnknownSession):
                other.ask(request)
        with pytest.raises(UnknownSession):
            other.ask(wire.ground(scan.id, sentences=SENTENCE))
        with pytest.raises(UnknownVolume):
            other.ask(wire.open_volume(scan.state["volume_id"]))
    assert scan.ground(SENTENCE).document["sentences"]


def test_one_token_does_not_cancel_another_ones_request(server, scan):
    request = wire.segment(scan.id, "lungs")
    began, ended = threading.Event(), []

    def ask():
        call = Call(lambda _: began.set())
        try:
            scan._client.ask(request, call)
        except SimCroPError as fault:
            ended.append(type(fault))

    asking = threading.Thread(target=ask)
    asking.start()
    assert began.wait(60)
    with server.client(OTHER_TOKEN) as other:
        assert other.ask(wire.cancel(request.id)).document == {"cancelled": False}
    with server.client() as own:
        assert own.ask(wire.cancel(request.id)).document == {"cancelled": True}
    asking.join(20)
    assert ended == [Cancelled]


def test_a_volume_that_is_known_is_not_sent_again(client, scan, chest, monkeypatch):
    def never(*arguments, **named):
        raise AssertionError("the volume was sent")

    monkeypatch.setattr(wire, "upload", never)
    with client.open(chest.voxels.copy(order="C"), chest.affine) as second:
        assert second.id != scan.id
        assert second.state["encoded"]
        assert second.ground(SENTENCE).document == scan.ground(SENTENCE).document


@pytest.mark.parametrize(
    ("loopback", "here", "taken"),
    [
        (True, ("raw", "zlib", "blosc2"), "raw"),
        (False, ("raw", "zlib", "blosc2"), "blosc2"),
        (False, ("raw", "zlib"), "zlib"),
    ],
)
def test_a_volume_is_packed_as_both_ends_can_and_only_for_a_network(client, monkeypatch, loopback, here, taken):
    pytest.importorskip("blosc2", reason="needs blosc2 for the server")
    used, upload = [], wire.upload
    monkeypatch.setattr(type(client._connections), "loopback", loopback)
    monkeypatch.setattr(wire, "codings_here", lambda: here)
    monkeypatch.setattr(
        wire, "upload", lambda *a, coding, **k: (used.append(coding), upload(*a, coding=coding, **k))[1]
    )
    volume = smaller((90, 70, 76))
    with client.open(volume.voxels + np.int16(1 + len(here) + loopback), volume.affine):
        assert used == [taken]


@pytest.mark.parametrize("coding", wire.codings_here())
@pytest.mark.parametrize("dtype", ["int16", "float32", "int32", "float64"])
def test_every_coding_and_type_of_voxels_arrives_as_the_same_scan(client, coding, dtype):
    volume = smaller((90, 70, 75))
    voxels = volume.voxels.astype(dtype)
    with client.open(voxels, volume.affine, coding=coding) as scan:
        assert scan.state["volume"]["shape"] == [90, 70, 75]
        assert scan.state["volume_id"] == wire.content_id(voxels, volume.affine)


VOXELS = np.zeros((20, 20, 20), np.int16)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


@pytest.mark.parametrize(
    ("voxels", "affine", "error"),
    [
        (VOXELS[:, :, :2], AFFINE, NotASingleVolume),
        (VOXELS[0], AFFINE, NotASingleVolume),
        (VOXELS, np.zeros((4, 4)), BadRequest),
        (VOXELS, np.eye(3), BadRequest),
        (VOXELS, np.diag([3.0, 3.0, 0.0, 1.0]), BrokenGeometry),
        (VOXELS, AFFINE, (BrokenGeometry, NotHounsfield)),
        (np.full((60, 60, 60), np.nan, np.float32), AFFINE, NotHounsfield),
    ],
)
def test_what_is_no_ct_is_refused_by_name(client, voxels, affine, error):
    with pytest.raises(error) as fault:
        client.ask(wire.upload(voxels, affine))
    assert fault.value.hint


def volumes(*lines):
    return post("/v1/volumes", b"".join(lines), f"Content-Type: {wire.CONTENT_TYPE}")


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ((b"",), {"bad-request"}),
        ((wire.line("array", name="voxels", dtype="int16", shape=[10, 10, 10]),), {"bad-request"}),
        ((wire.line("array", name="voxels", dtype="int16", shape=[100_000, 100_000, 100_000]),), {"too-large"}),
        ((wire.line("array", name="voxels", dtype="O", shape=[1, 1, 1]),), {"broken-answer"}),
        ((wire.line("array", name="voxels", dtype="int16", shape=[9, 9]), wire.line("end")), {"broken-answer"}),
        ((b"x" * 100_000,), {"too-large"}),
        ((b'{"event":' * 5000 + b"\n",), {"broken-answer"}),
    ],
)  # fmt: skip
def test_hostile_uploads_have_named_answers(server, body, codes):
    status, document = told(raw(server, volumes(*body)))
    assert document["code"] in codes
    assert 400 <= status < 500
    assert document["hint"]


def test_bombs_take_no_memory(server):
    before = server.memory()
    bomb = zlib.compress(bytes(128 << 20))
    announced = wire.line("array", name="voxels", dtype="int16", shape=[64, 64, 64])
    chunk = wire.line("chunk", coding="zlib", raw=64 * 64 * 64 * 2, bytes=len(bomb)) + bomb
    told(raw(server, volumes(announced, chunk)))
    for _ in range(5):
        told(raw(server, volumes(wire.line("array", name="voxels", dtype="uint8", shape=[1 << 11, 1 << 10, 1 << 10]))))
    assert server.memory() - before < 100 << 20


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/parse", b"{", 400, "bad-request"),
        ("/v1/parse", b"[]", 400, "bad-request"),
        ("/v1/parse", b'{"report": 7}', 400, "bad-request"),
        ("/v1/parse", b'{"secret": "Nodule."}', 400, "bad-request"),
        ("/v1/parse", b"{}", 422, "nothing-to-ground"),
        ("/v1/parse", json.dumps({"report": "x" * 100_001}).encode(), 400, "bad-request"),
        ("/v1/parse", b" " * (9 << 20), 413, "too-large"),
        ("/v1/sessions", b'{"volume": "0"}', 404, "unknown-volume"),
        ("/v1/sessions", b'{"volume": "0", "path": "/etc/passwd"}', 400, "bad-request"),
        ("/v1/sessions", b'{"volume": "0", "lease_s": -1}', 400, "bad-request"),
        ("/v1/sessions/none/ground", b"{}", 404, "unknown-session"),
        ("/v1/nothing", b"{}", 404, "bad-request"),
    ],
)
def test_hostile_requests_have_named_answers_that_repeat_nothing(server, path, body, status, code):
    answer = raw(server, post(path, body, "Content-Type: application/json"))
    assert told(answer)[0] == status
    assert told(answer)[1]["code"] == code
    assert b"Nodule" not in answer


def test_a_body_that_does_not_say_how_long_it_is_is_counted(server):
    head = f"POST /v1/parse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\n"
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = raw(server, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 9 + b"0\r\n\r\n")
    assert told(answer) == (413, told(answer)[1])
    assert told(answer)[1]["code"] == "too-large"


def test_huge_headers_are_refused_and_the_server_lives(server, client):
    with contextlib.suppress(ConnectionError):
        answer = raw(server, b"GET /v1/health HTTP/1.1\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n")
        assert b" 200 " not in answer.split(b"\r\n")[0]
    assert b" 200 " not in raw(server, b"\x16\x03\x01" + bytes(300)).split(b"\r\n")[0]
    assert client.health()["status"] == "ready"


def test_a_longer_lease_than_allowed_is_cut(client, chest, scan):
    with client.open(chest.voxels, chest.affine, lease_s=1e9) as long:
        assert long.lease_s == 3600


def test_a_session_ends_with_its_lease_and_takes_its_volume_along(narrow_server):
    volume = smaller((90, 70, 75))
    client = narrow_server.client()
    scan = client.open(volume.voxels, volume.affine, lease_s=0.5)
    client._closed.set()
    before = client.capabilities()["memory"]["scans_bytes"]
    assert before >= volume.voxels.nbytes
    eventually(lambda: client.capabilities()["memory"]["scans_bytes"] == 0)
    with pytest.raises(UnknownSession) as fault:
        scan.ground(SENTENCE)
    assert fault.value.hint
    with pytest.raises(UnknownVolume):
        client.ask(wire.open_volume(scan.state["volume_id"]))
    scan.reopen()
    assert client.ask(wire.session(scan.id)).document["session"] == scan.id
    client.close()


def test_heartbeats_keep_a_session_that_is_not_used(narrow_server):
    volume = smaller((90, 70, 76))
    with narrow_server.client() as client, client.open(volume.voxels, volume.affine, lease_s=1.2) as scan:
        time.sleep(3)
        assert client.ask(wire.session(scan.id)).document["lease_s"] == 1.2


def test_the_least_recently_used_scan_makes_room_and_one_too_large_is_refused(narrow_server):
    """The server may hold 61 MiB: two scans of 24 MiB, not three."""
    coarse = smaller((90, 70, 75))
    voxels = np.asfortranarray(coarse.voxels.repeat(3, axis=0).repeat(3, axis=1).repeat(3, axis=2))
    affine = coarse.affine @ np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    with narrow_server.client() as client:
        scans = []
        for n in range(3):
            voxels[:5, 0, 0] = -900 - n
            if n == 2:
                client.ask(wire.heartbeat(scans[0].id))
            scans.append(client.open(voxels.copy(order="F"), affine, lease_s=60))
        assert client.ask(wire.session(scans[0].id)).document
        assert client.ask(wire.session(scans[2].id)).document
        with pytest.raises(UnknownSession):
            client.ask(wire.session(scans[1].id))
        with pytest.raises((OutOfMemory, TooLarge)):
            client.ask(wire.upload(np.zeros((400, 400, 400), np.int16), AFFINE))


def test_what_is_only_announced_makes_no_scan_go(narrow_server):
    """The server may hold 61 MiB, and takes volumes of 4 GiB: a word about 61 MiB, or 2 GiB, is no reason to forget."""
    volume = smaller((90, 70, 78))
    port = narrow_server.ready["port"]
    with narrow_server.client() as client, client.open(volume.voxels, volume.affine) as scan:
        voxels = bytes(1 << 20)
        announced = wire.line(
            "array", name="voxels", dtype="int16", shape=[1 << 10, 1 << 9, 61], affine=np.eye(4).tolist()
        )
        chunk = wire.line("chunk", coding="raw", raw=len(voxels), bytes=len(voxels)) + voxels
        before = client.capabilities()["memory"]["scans_bytes"]
        head, _, body = volumes(announced, chunk).partition(b"\r\n\r\n")
        head = head.replace(str(len(body)).encode(), str(62 << 20).encode())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sending:
            sending.sendall(head + b"\r\n\r\n" + body)
            eventually(lambda: client.capabilities()["memory"]["scans_bytes"] == before + (1 << 20))
            assert client.ask(wire.session(scan.id)).document
            # As the rest comes, room is made for it.
            for _ in range(24):
                sending.sendall(chunk)
            eventually(lambda: client.capabilities()["memory"]["scans_bytes"] >= before + (25 << 20))
        eventually(lambda: client.capabilities()["memory"]["scans_bytes"] == before)
        huge = wire.line("array", name="voxels", dtype="int16", shape=[1 << 10, 1 << 10, 1 << 10])
        assert told(raw(narrow_server, volumes(huge)))[1]["code"] == "out-of-memory"
        assert client.ask(wire.session(scan.id)).document


def test_a_full_queue_says_so_at_once(narrow_server):
    volume = smaller((90, 70, 77))
    with narrow_server.client() as client, client.open(volume.voxels, volume.affine) as scan:
        calls = [Call() for _ in range(2)]
        asking = [threading.Thread(target=_until_cancelled, args=(scan, call)) for call in calls]
        for thread in asking:
            thread.start()
        try:
            with pytest.raises(ServerBusy) as fault:
                _ask_for(scan, seconds=60)
            assert client.capabilities()["limits"]["queue"] == 2, "who only looks or opens takes no place"
            client.open(volume.voxels, volume.affine).close()
        finally:
            for call in calls:
                call.cancel()
            for thread in asking:
                thread.join(30)
        assert fault.value.hint
        eventually(lambda: _answers(scan))


def _ask_for(scan, *, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scan.ground(SENTENCE)


def _until_cancelled(scan, call):
    while not call.cancelled:
        with contextlib.suppress(Cancelled, ServerBusy):
            scan.segment("lungs", call=call)


def _answers(scan):
    try:
        return bool(scan.ground(SENTENCE).document)
    except ServerBusy:
        return False


def test_the_log_names_nobody(server, scan, client):
    secret = "Zaphod Beeblebrox has a nodule in the left upper lobe."
    scan.ground([secret])
    with pytest.raises(SimCroPError):
        client.open_path("/secret/Beeblebrox.nii.gz")
    with pytest.raises(BrokenAnswer):
        client.ask(wire.Request("POST", "/v1/volumes", (b"Beeblebrox\n",), 11, wire.CONTENT_TYPE))
    time.sleep(0.2)
    log = "".join(server.log)
    assert "Beeblebrox" not in log
    assert TOKEN not in log
    assert "Traceback" not in log
