"""Parts of the viewer that need no browser."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from SimCroPSlicerLib.server_url import ServerUrl, server_url
from SimCroPViewer import pictures
from SimCroPViewer.desk import after_pause
from SimCroPViewer.engine_process import RemoteEngine
from SimCroPViewer.options import EngineOptions, SessionOptions

from simcrop_core.errors import BadRequest


def alone(coroutine):
    """Run it in a thread of its own: the browser's driver keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def test_options_survive_the_pipe():
    told = SessionOptions("a b", "http://127.0.0.1:1", "ü", "", True, False, '/scan "1".nii', "4", 2, "", 600)
    assert SessionOptions.read(told.line()) == told
    assert told.line().count("\n") == 1


@pytest.mark.parametrize("server", ["http://gpu.example:8378", "ftp://127.0.0.1", "", "http://127.0.0.1:99999"])
def test_a_scan_is_never_sent_unencrypted_or_nowhere(server):
    with pytest.raises(BadRequest):
        RemoteEngine(EngineOptions(server=server, token="t"))


def test_a_name_alone_is_asked_over_https():
    assert server_url("gpu.example") == ServerUrl("gpu.example", 443, tls=True)
    assert server_url("http://localhost") == ServerUrl("localhost", 80, tls=False)


def test_a_server_elsewhere_is_found_and_its_address_told():
    async def found():
        engine = RemoteEngine(EngineOptions(server="http://localhost:8378", token="t"))
        waiting = asyncio.create_task(engine.changed(0, 10.0))
        await engine.start()
        first = await waiting
        return first, await engine.changed(-1, 0.1)

    first, last = alone(found())
    assert first["version"] >= 1
    assert last["state"] == "running"
    assert last["address"]["host"] in ("127.0.0.1", "::1")
    assert (last["address"]["port"], last["address"]["token"], last["address"]["name"]) == (8378, "t", "")


def test_pictures_are_put_together_in_their_places():
    tiles = [[np.full((2, 3, 3), 10, np.uint8), np.full((4, 2, 3), 20, np.uint8)], [np.full((1, 6, 3), 30, np.uint8)]]
    whole = pictures.together(tiles)
    assert whole.shape == (5, 6, 3)
    assert (whole[0, 0, 0], whole[3, 4, 0], whole[4, 5, 0], whole[3, 0, 0]) == (10, 20, 30, 0)


def test_only_the_last_of_many_calls_comes():
    async def typed():
        came = []
        later = after_pause(0.05, lambda: came.append(1))
        for _ in range(5):
            later()
        assert came == []
        while not came:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        return came

    assert alone(typed()) == [1]
