"""Turns in a lane: one task each, whoever asked more; what is cancelled never begins."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from simcrop_core.serve.app import openapi_document
from simcrop_core.serve.lanes import Lane
from simcrop_core.serve.routes_scan import router as scan_routes
from simcrop_core.serve.routes_server import router as server_routes

DOCS = Path(__file__).parents[2] / "docs"


def test_keys_take_turns_and_order_within_a_key_is_kept():
    done, gate = [], threading.Event()

    async def ask():
        lane = Lane("test")
        first = asyncio.create_task(lane.run("x", gate.wait))
        await asyncio.sleep(0.01)
        many = [asyncio.create_task(lane.run("a", lambda n=n: done.append(f"a{n}"))) for n in range(4)]
        few = [asyncio.create_task(lane.run("b", lambda n=n: done.append(f"b{n}"))) for n in range(2)]
        await asyncio.sleep(0.01)
        assert not lane.wait_until_idle(0)
        gate.set()
        await asyncio.gather(first, *many, *few)
        assert lane.wait_until_idle(1)
        lane.close()

    asyncio.run(ask())
    assert done == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_a_task_cancelled_while_it_waits_never_begins_and_the_next_one_does():
    done, gate = [], threading.Event()

    async def ask():
        lane = Lane("test")
        first = asyncio.create_task(lane.run("x", gate.wait))
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(lane.run(key, lambda key=key: done.append(key))) for key in "abc"]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        gate.set()
        await first
        # Its turn was given to it, and it is cancelled before it takes it.
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await lane.run("d", lambda: "after") == "after"
        lane.close()

    asyncio.run(ask())
    assert done in (["c"], ["b", "c"])


def test_a_fault_reaches_who_asked_and_the_lane_goes_on():
    async def ask():
        lane = Lane("test")
        with pytest.raises(ZeroDivisionError):
            await lane.run("a", lambda: 1 // 0)
        assert await lane.run("a", lambda: 5) == 5
        lane.close()

    asyncio.run(ask())


def test_the_published_schema_is_the_servers():
    assert (DOCS / "schema" / "serve.openapi.json").read_text(encoding="utf-8") == openapi_document()


def test_every_route_is_in_the_schema_and_all_but_one_need_the_token():
    described = {
        (method.upper(), path): operation
        for path, operations in json.loads(openapi_document())["paths"].items()
        for method, operation in operations.items()
    }
    routes = [route for router in (scan_routes, server_routes) for route in router.routes]
    assert described.keys() == {(method, f"/v1{route.path}") for route in routes for method in route.methods}
    assert [where for where, operation in described.items() if operation.get("security") == []] == [
        ("GET", "/v1/health")
    ]


def test_every_request_is_in_the_docs():
    text = (DOCS / "serve.md").read_text(encoding="utf-8")
    for path, methods in json.loads(openapi_document())["paths"].items():
        shown = path.removeprefix("/v1").replace("{session}", "{id}").replace("{request_id}", "{request id}")
        for method in methods:
            assert f"`{method.upper()} {shown}`" in text
