"""The same store by a Ray cluster of two workers, one of which dies half-way: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ct_rate_files import CtRateFolder, save_lps
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from store_making import QUICK, content_of, one_process, records_of

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'simcrop[cluster]'")
pytestmark = pytest.mark.slow

SCANS = 8


@pytest.fixture
def source(tmp_path, coarse_chest):
    made = CtRateFolder(tmp_path / "source")
    for number in range(SCANS):
        path = made.scan(f"train_{number}_a_1", findings=f"Finding {number}.", XYSpacing="[4, 4]", ZSpacing="4")
        save_lps(path, np.roll(coarse_chest, number, axis=2), (4, 4, 4))
    return made.write()


def _free_ports():
    """Given ports, a node need not wait for its agents to choose them, which takes long on a busy machine."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}


@pytest.fixture
def cluster(monkeypatch):
    """A head that does no work, and two nodes of one core."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Nodes find what this process finds.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]))
    from ray.cluster_utils import Cluster

    room = {"object_store_memory": 100 * 2**20, "memory": 4 * 2**30}
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **room, **_free_ports()}
    )
    made.workers = [made.add_node(num_cpus=1, **room, **_free_ports()) for _ in range(2)]
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_node_that_dies_half_way_costs_nothing(source, cluster, tmp_path):
    from simcrop_training.prepare.cluster import on_cluster

    data, folder = read_data_set(source), tmp_path / "store"
    killed_at: list[int] = []

    def kill_one():
        while len(records_of(folder)) < 2:
            time.sleep(0.01)
        cluster.remove_node(cluster.workers[0], allow_graceful=False)
        killed_at.append(len(records_of(folder)))

    killer = threading.Thread(target=kill_one)
    killer.start()
    report = prepare(data, folder, QUICK, on_cluster(cluster.address))
    killer.join()
    assert killed_at[0] < SCANS, "it died too late to matter"
    assert (report.scans, report.prepared, report.excluded) == (SCANS, SCANS, [])
    assert len(records_of(folder)) == SCANS
    # Nothing lost, nothing twice: the store is that of one process, file by file.
    prepare(data, tmp_path / "alone", QUICK, one_process)
    assert content_of(folder) == content_of(tmp_path / "alone")
    assert not list(folder.glob("volumes/*/.*"))
