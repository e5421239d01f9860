"""The two protocols: the released one's rates to the last digit, and what the other does without."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from simcrop_training.evaluate.segmenting.network import skips_of
from simcrop_training.evaluate.segmenting.presets import changed, protocol_of, schedule_of

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    ("curve", "task", "percent"),
    [
        ("seg_btcv_base1e4_w50_e2000", "btcv", 100),
        ("seg_luna10_w50_e400", "luna16", 10),
        ("seg_luna100_w50_e50", "luna16", 100),
    ],
)
def test_the_official_rate_is_that_of_the_released_scheduler(curve, task, percent):
    """Epoch by epoch: 0 in the first; with 50 epochs of warm-up in 50 it never falls (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "lr_curves.npz")[curve]
    protocol = protocol_of("official", task, percent)
    schedule = schedule_of(protocol, 3, precision="float32")
    assert schedule.steps == 3 * len(golden)
    rates = np.array([schedule.rate(step) for step in range(schedule.steps)]).reshape(-1, 3)
    np.testing.assert_allclose(rates[:, 0], golden, rtol=0, atol=1e-10)
    assert (rates == rates[:, :1]).all()


def test_the_official_numbers_are_the_released_ones():
    btcv, luna = protocol_of("official", "btcv"), protocol_of("official", "luna16", 10)
    assert (btcv.spacing_mm, btcv.epochs, btcv.validate_every) == ((1.5, 1.5, 3.0), 2000, 50)
    assert (luna.spacing_mm, luna.epochs, luna.validate_every) == ((1.0, 1.0, 1.0), 400, 20)
    assert protocol_of("official", "luna16", 100).epochs == 50
    assert (btcv.window, btcv.feature_size, btcv.crops, btcv.overlap) == ((96, 96, 48), 16, 16, 0.5)
    assert (btcv.learning_rate, btcv.weight_decay, btcv.warm_up_epochs) == (1e-4, 1e-5, 50)
    assert (btcv.smooth, btcv.beyond, btcv.blend, btcv.flip_axes) == (0.0, 0.0, "constant", (0, 1, 2))


def test_clean_never_mirrors_left_to_right_and_always_falls_to_nothing():
    protocol = protocol_of("clean", "luna16", 100)
    assert 0 not in protocol.flip_axes
    schedule = schedule_of(protocol, 4, precision="float32")
    assert 0 < schedule.rate(0) <= schedule.rate(4) < schedule.rate(20)
    assert schedule.rate(schedule.steps - 1) < 1e-7


def test_fewer_epochs_keep_the_warm_up_within_them():
    protocol = changed(protocol_of("official", "btcv"), epochs=20, window=None, crops=4)
    assert (protocol.epochs, protocol.warm_up_epochs, protocol.validate_every, protocol.crops) == (20, 2, 20, 4)
    assert dataclasses.replace(protocol, epochs=2000, warm_up_epochs=50, validate_every=50, crops=16) == protocol_of(
        "official", "btcv"
    )


def test_the_decoder_takes_the_released_blocks():
    assert skips_of(12, 3) == (3, 6, 9)
    assert skips_of(6, 2) == (1, 3)
    assert skips_of(4, 3) == (0, 1, 2)
    assert skips_of(2, 2) == (0, 1)
