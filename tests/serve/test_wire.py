"""Frames and HTTP without a connection: however the bytes are cut, the same comes out; what is no message is named."""

from __future__ import annotations

import contextlib
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.errors import BrokenAnswer, NotAChest, SimCroPError, TooLarge, error_of
from simcrop_core.serve import wire
from simcrop_core.serve.frames import DTYPES

RANDOM = np.random.default_rng(0)


def decoded(data, *, piece=None, **limits):
    decoder = wire.FrameDecoder(**limits)
    events = []
    for start in range(0, len(data), piece or max(1, len(data))):
        decoder.feed(data[start : start + (piece or len(data))])
        events += decoder.events()
    return decoder, events


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    order=st.sampled_from("CF"),
    flip=st.booleans(),
    coding=st.sampled_from(wire.codings_here()),
    piece=st.integers(1, 400),
)
def test_an_array_survives_the_wire_in_any_memory_order_and_any_cut(dtype, shape, order, flip, coding, piece):
    array = np.asarray(RANDOM.integers(0, 100, shape), dtype=dtype, order=order)
    if flip:
        array = array[::-1]
    data = b"".join(wire.array_frames("a", array, coding)) + wire.line("result", document={"of": "a"})
    decoder, events = decoded(data, piece=piece)
    assert isinstance(events[-1], wire.ResultEvent)
    received = events[-1].arrays["a"]
    assert received.dtype == array.dtype
    np.testing.assert_array_equal(received, array)
    assert received.flags.f_contiguous
    assert decoder.between_events


@pytest.mark.parametrize("coding", wire.codings_here())
def test_a_large_array_comes_in_chunks_with_the_slowest_axis_last(coding):
    array = RANDOM.integers(-1000, 1000, (300, 200, 41)).astype(np.int16)
    data = b"".join(wire.array_frames("voxels", array, coding)) + wire.line("result", document={})
    _, events = decoded(data, piece=65536)
    parts = [event for event in events if isinstance(event, wire.ArrayPart)]
    assert len(parts) >= array.nbytes // wire.CHUNK
    assert parts[-1].done == parts[-1].total == array.nbytes
    np.testing.assert_array_equal(events[-1].arrays["voxels"], array)


def test_what_is_sent_is_x_fastest():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert b"".join(wire.array_frames("a", array, "raw")).endswith(bytes([0, 3, 1, 4, 2, 5]))


def announced(shape, dtype="uint8"):
    return wire.line("array", name="a", dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    "data",
    [
        b"nothing\n",
        b"[1]\n",
        b"[" * 100_000 + b"\n",
        wire.line("array", name="a", dtype="object", shape=[2]),
        announced([0, 3, 3]),
        announced([-1, -3, 3]),
        announced([2, 2, 2, 2]),
        announced(["x"]),
        announced([2]) + announced([2]),
        announced([2]) + wire.line("result", document={}),
        wire.line("chunk", coding="raw", raw=2, bytes=2) + b"ab",
        announced([2]) + wire.line("chunk", coding="raw", raw=3, bytes=3) + b"abc",
        announced([2]) + wire.line("chunk", coding="raw", raw=2, bytes=1) + b"a",
        announced([2]) + wire.line("chunk", coding="raw", raw=2, bytes=-1) + b"a",
        announced([2]) + wire.line("chunk", coding="zlib", raw=2, bytes=4) + b"junk",
        announced([2]) + wire.line("chunk", coding="lzma", raw=2, bytes=4) + b"junk",
        announced([2]) + wire.line("chunk", coding=7, raw=2, bytes=4) + b"junk",
        wire.line("progress", stage="x"),
        wire.line("result", document=3),
    ],
)
def test_what_is_no_message_is_named(data):
    with pytest.raises(BrokenAnswer) as fault:
        decoded(data)
    assert fault.value.hint


def test_a_bomb_unpacks_to_no_more_than_it_announced():
    bomb = zlib.compress(bytes(200 << 20))
    packed = wire.line("chunk", coding="zlib", raw=1 << 20, bytes=len(bomb)) + bomb
    _, events = decoded(announced([1 << 20]) + packed)
    assert events == [wire.ArrayPart("a", 1 << 20, 1 << 20)]
    with pytest.raises(TooLarge):
        decoded(announced([1 << 20, 1 << 10]), most_bytes=1 << 24)
    with pytest.raises(TooLarge):
        decoded(announced([1 << 62, 1 << 62]))
    with pytest.raises(TooLarge):
        decoded(b"x" * 2000, longest_line=1000)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), prefix=st.sampled_from([b"", announced([4]), wire.line("chunk", raw=2, bytes=2)]))
def test_random_bytes_raise_only_named_errors(data, prefix):
    with contextlib.suppress(BrokenAnswer, TooLarge):
        decoded(prefix + data, piece=7, most_bytes=1 << 20)


def answer(body, *, head="HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", chunks=0):
    if not chunks:
        return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    parts = [body[at : at + chunks] for at in range(0, len(body), chunks)]
    coded = b"".join(b"%x;note\r\n%b\r\n" % (len(part), part) for part in parts)
    return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + coded + b"0\r\n\r\n"


def received(data, *, piece):
    exchange = wire.Exchange(wire.health(), "127.0.0.1:1", "secret")
    events = []
    for start in range(0, len(data), piece):
        exchange.receive(data[start : start + piece])
        events += exchange.events()
    return exchange, events


@settings(max_examples=40, deadline=None)
@given(piece=st.integers(1, 80), chunks=st.integers(0, 40))
def test_an_answer_is_the_same_however_it_is_cut(piece, chunks):
    exchange, events = received(answer(b'{"status": "warm"}', chunks=chunks), piece=piece)
    assert events == [events[0]]
    assert events[0].document == {"status": "warm"}
    assert exchange.finished
    assert exchange.keeps_connection


@settings(max_examples=30, deadline=None)
@given(piece=st.integers(1, 3000), chunks=st.integers(1, 5000))
def test_a_streamed_answer_is_the_same_however_it_is_cut(piece, chunks):
    array = np.arange(14**3, dtype=np.float32).reshape(14, 14, 14)
    body = wire.line("progress", stage="Encoding", done=1, total=2, eta_s=0.5)
    body += b"".join(wire.array_frames("heatmap-0", array)) + wire.line("result", document={"n": 1})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {wire.CONTENT_TYPE}\r\n"
    _, events = received(answer(body, head=head, chunks=chunks), piece=piece)
    assert events[0] == wire.ProgressEvent("Encoding", 1, 2, 0.5)
    np.testing.assert_array_equal(events[-1].arrays["heatmap-0"], array)


def test_a_refusal_has_code_message_and_hint():
    refusal = json.dumps({"code": "not-a-chest", "message": "No lungs.", "hint": "Another series."}).encode()
    _, (event,) = received(answer(refusal, head="HTTP/1.1 422 Unprocessable\r\n"), piece=1000)
    error = event.error()
    assert type(error) is NotAChest
    assert (error.message, error.hint) == ("No lungs.", "Another series.")
    assert type(error_of("of-the-future", "?")) is SimCroPError


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"x" * 70_000,
        answer(b"<html>", head="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"),
        answer(b"[]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        answer(b"", head=f"HTTP/1.1 200 OK\r\nContent-Type: {wire.CONTENT_TYPE}\r\n"),
    ],
)
def test_what_does_not_speak_the_protocol_is_named(data):
    with pytest.raises(BrokenAnswer):
        received(data, piece=1 << 20)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN"])
@pytest.mark.parametrize(
    "event",
    [
        b'{"event": "progress", "stage": "s", "done": 1, "total": %b}\n',
        b'{"event": "array", "name": "a", "dtype": "int16", "shape": [%b, 2]}\n',
        b'{"event": "array", "name": "a", "dtype": "int8", "shape": [2]}\n{"event": "chunk", "raw": 2, "bytes": %b}\n',
    ],
)
def test_numbers_that_are_none_are_named(event, number):
    """Python's JSON reads them all, the first two as infinity."""
    with pytest.raises(BrokenAnswer):
        decoded(event % number)


def test_any_number_of_provisional_answers_comes_before_the_answer():
    _, (event,) = received(b"HTTP/1.1 100 Continue\r\n\r\n" * 3000 + answer(b'{"status": "warm"}'), piece=1 << 20)
    assert event.document == {"status": "warm"}


def test_a_connection_that_breaks_is_named():
    exchange, events = received(answer(b'{"status": "warm"}')[:-3], piece=50)
    assert not events
    with pytest.raises(BrokenAnswer, match="before the answer"):
        exchange.connection_closed()


def test_a_request_goes_out_in_pieces_packed_when_asked_for():
    voxels = np.zeros((100, 100, 200), np.int16)
    request = wire.upload(voxels, np.eye(4), coding="raw")
    pieces = wire.Exchange(request, "127.0.0.1:1", "secret").outgoing()
    head = next(pieces).decode()
    assert head.startswith("POST /v1/volumes HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert "Authorization: Bearer secret" in head
    assert "Transfer-Encoding: chunked" in head
    sizes = [len(piece) for piece in pieces]
    assert sum(sizes) > voxels.nbytes
    assert max(sizes) < wire.CHUNK + 200


def test_the_content_id_is_of_values_and_place_not_of_memory_order():
    voxels = np.asarray(RANDOM.integers(0, 9, (5, 6, 7)), np.int16)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    same = wire.content_id(np.asfortranarray(voxels), affine)
    assert wire.content_id(voxels, affine) == same
    moved, changed = affine.copy(), voxels.copy()
    moved[0, 3] = 1e-9
    changed[0, 0, 0] += 1
    ids = {same, wire.content_id(voxels, moved), wire.content_id(changed, affine), wire.content_id(voxels.T, affine)}
    assert len(ids) == 4
