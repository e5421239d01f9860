"""Seconds, milliseconds and megabytes of one piece of work."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil

_SAMPLED_EVERY_S = 0.005


def median_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Median of some runs, after one that is not counted."""
    work()
    return round(statistics.median(seconds(work) for _ in range(repeats)), 4)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """The median and the 95th percentile, ms."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def growth_mb(work: Callable[[], object]) -> float:
    """How much the process grew at most while working, 2²⁰ bytes; call it before anything large was freed."""
    process, done = psutil.Process(), threading.Event()
    before = int(process.memory_info().rss)
    peak = before

    def watch() -> None:
        nonlocal peak
        while not done.wait(_SAMPLED_EVERY_S):
            peak = max(peak, int(process.memory_info().rss))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    peak = max(peak, int(process.memory_info().rss))
    return round((peak - before) / 2**20)
