"""The clock against things whose time and size are known."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from simcrop_core.benchmark.clock import growth_mb, median_seconds, percentiles, seconds


def held(megabytes):
    """Fill that much memory and keep it for as long as real work would."""
    block = np.ones(megabytes * 2**20, dtype=np.uint8)
    time.sleep(0.1)
    return block


def test_growth_is_what_was_allocated():
    assert growth_mb(lambda: held(200)) == pytest.approx(200, rel=0.2)


def test_memory_given_back_before_the_end_counts():
    """The peak, not what is left: two blocks one after the other are one block's growth."""

    def work():
        for _ in range(2):
            held(200)

    assert growth_mb(work) == pytest.approx(200, rel=0.2)


def test_idle_work_does_not_grow():
    assert 0 <= growth_mb(lambda: time.sleep(0.05)) < 20


def test_work_that_fails_says_so_and_leaves_no_watcher():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        growth_mb(lambda: 1 // 0)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("milliseconds", "p50", "p95"),
    [([40.0, 10.0, 30.0, 20.0], 25.0, 38.5), ([float(ms) for ms in range(101)], 50.0, 95.0), ([7.0], 7.0, 7.0)],
)
def test_percentiles(milliseconds, p50, p95):
    assert percentiles(milliseconds) == {"p50": p50, "p95": p95}


def test_seconds_are_wall_clock_seconds():
    assert 0.05 <= seconds(lambda: time.sleep(0.05)) < 0.5


def test_the_median_leaves_out_the_first_run_and_outliers():
    """Runs of 300 (not counted), 20, 200 and 20 ms."""
    naps = iter([0.3, 0.02, 0.2, 0.02])
    assert 0.015 < median_seconds(lambda: time.sleep(next(naps)), repeats=3) < 0.15
    assert next(naps, None) is None
