"""Thirty-two clients at once, fifty sentences each, on encoded scans: how long each waits, and that nothing is left."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import psutil
import pytest

CLIENTS, SENTENCES = 32, 50


def ask(server, chest, number, took, faults):
    with server.client() as client, client.open(chest.voxels, chest.affine) as scan:
        for n in range(SENTENCES):
            began = time.perf_counter()
            told = scan.ground([f"Nodule of {number} mm, number {n}, in the right upper lobe."])
            took.append(time.perf_counter() - began)
            if len(told.arrays) != 1:
                faults.append(number)


@pytest.mark.slow
def test_many_clients_type_at_once(server, chest, scan, capsys):
    # Until the server has fetched in passing what only findings need.
    scan.findings()
    alone = []
    ask(server, chest, 0, alone, faults := [])
    process = psutil.Process(server.ready["pid"])
    before, cpu_before, took = process.memory_info().rss, sum(process.cpu_times()[:2]), []
    threads = [threading.Thread(target=ask, args=(server, chest, n + 1, took, faults)) for n in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    grown = (process.memory_info().rss - before) / 2**20
    cpu_ms = (sum(process.cpu_times()[:2]) - cpu_before) / (CLIENTS * SENTENCES) * 1000
    assert not faults
    assert len(took) == CLIENTS * SENTENCES
    p50, p95, p99 = np.percentile(took, [50, 95, 99]) * 1000
    alone_p50, alone_p95 = np.percentile(alone, [50, 95]) * 1000
    with capsys.disabled():
        sys.stdout.write(
            f"\none client: p50 {alone_p50:.0f} ms, p95 {alone_p95:.0f} ms; "
            f"{CLIENTS} clients: p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, "
            f"{len(took) / wall:.0f} sentences/s, {cpu_ms:.1f} ms of CPU a sentence, +{grown:.0f} MiB\n"
        )
    assert p99 < 10 * CLIENTS * alone_p50
    assert grown < 200
    with server.client() as client:
        assert client.capabilities()["memory"]["scans_bytes"] < 200 << 20
