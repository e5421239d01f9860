"""What stops a run is heard once; who insists is obeyed."""

from __future__ import annotations

import signal

import pytest
from simcrop_training.engine.signals import StopRequests


def test_ctrl_c_is_noted_and_a_second_one_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with StopRequests() as requests:
        signal.raise_signal(signal.SIGINT)
        assert requests.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
