"""Nobody keeps others out: not by asking much, not by sending nothing; nor does the log hear what nobody waits for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import threading

import pytest
from chests import affine_of, chest_hu, volume_of
from served import OTHER_TOKEN

from simcrop_core.errors import BadRequest, Cancelled, NotAuthorised, ServerBusy, SimCroPError, UnreadableFile
from simcrop_core.serve import wire
from simcrop_core.serve.client import Call, Client
from simcrop_core.serve.receive import receive_volume
from simcrop_core.serve.running import Running
from simcrop_core.serve.settings import Settings
from simcrop_core.serve.store import Store

SENTENCE = ["Nodule in the right upper lobe."]
SHAPE = (90, 70, 78)


def test_who_fills_the_queue_keeps_out_itself_and_nobody_else(narrow_server):
    """Two places, both taken by one session all the time: another session and another token are answered."""
    volume = volume_of(chest_hu, affine_of(shape=SHAPE, spacing=(4.0, 4.0, 4.0)), SHAPE)
    with narrow_server.client() as greedy, narrow_server.client() as same, narrow_server.client(OTHER_TOKEN) as other:
        scans = [client.open(volume.voxels, volume.affine, lease_s=60) for client in (greedy, same, other)]
        for scan in scans:
            scan.encode()
        calls = [Call() for _ in range(4)]
        asking = [threading.Thread(target=_until_cancelled, args=(scans[0], call)) for call in calls]
        for thread in asking:
            thread.start()
        try:
            with pytest.raises(ServerBusy):
                _ask_for_ever(scans[0])
            for _ in range(5):
                for scan in scans[1:]:
                    assert scan.ground(SENTENCE).document["sentences"]
        finally:
            for call in calls:
                call.cancel()
            for thread in asking:
                thread.join(30)


def _ask_for_ever(scan):
    while True:
        scan.ground(SENTENCE)


def _until_cancelled(scan, call):
    while not call.cancelled:
        with contextlib.suppress(Cancelled, ServerBusy):
            scan.segment("lungs", call=call)


def test_one_of_several_tokens_never_has_the_whole_queue():
    assert Settings("starter", "cpu", ("a",)).queue_of_one == 64
    assert Settings("starter", "cpu", ("a", "b")).queue_of_one == 48


def test_a_client_that_goes_without_a_word_gives_its_memory_back():
    """Its connection stays open for ever where a laptop was closed or a cable pulled."""
    store = Store(None, 1 << 20, lambda: 0.0)
    held = []

    async def pieces():
        yield wire.line("array", name="voxels", dtype="int16", shape=[64, 64, 64])
        chunk = b"".join(wire.array_frames("voxels", volume_of(chest_hu, affine_of(shape=(9, 9, 9)), (9, 9, 9)).voxels))
        yield chunk.partition(b"\n")[2]
        held.append(store.memory_bytes)
        await asyncio.sleep(60)

    with pytest.raises(BadRequest, match="Nothing more"):
        asyncio.run(receive_volume(pieces(), store, most_bytes=1 << 20, stalled_s=0.2))
    assert held == [2 * 9**3], "what has come, not what was announced"
    assert store.memory_bytes == 0


def test_a_fault_that_nobody_waits_for_is_not_told_the_log(caplog):
    """asyncio would write it with its words, and they may be a patient's name."""

    async def fails(_running):
        await asyncio.sleep(0.01)
        raise UnreadableFile("/secret/Beeblebrox.nii.gz is no file.")

    async def left():
        frames = Running("owner", "a-request").frames(fails)
        await anext(frames)
        await asyncio.sleep(0.05)
        await frames.aclose()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(left())
        gc.collect()
    assert "Beeblebrox" not in caplog.text


def test_a_call_cancelled_before_the_first_byte_of_the_answer_says_that_it_was_cancelled():
    """Cutting its connection is how it is cancelled: that must not look as if the server had gone."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        call, ended = Call(), []

        def ask():
            client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "token")
            try:
                client.ask(wire.capabilities(), call)
            except SimCroPError as fault:
                ended.append(type(fault))

        thread = threading.Thread(target=ask)
        thread.start()
        peer, _ = silent.accept()
        with peer:
            peer.recv(65536)
            call.cancel()
            thread.join(10)
    assert ended == [Cancelled]


@pytest.mark.parametrize("token", ["日本", "a\nb", "geheim\u00e9"])
def test_a_token_that_no_header_can_hold_is_refused_by_name(token):
    with pytest.raises(NotAuthorised) as fault:
        wire.capabilities().headers(token)
    assert fault.value.hint
