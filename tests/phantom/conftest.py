"""A few phantoms, drawn once."""

from __future__ import annotations

import pytest

from simcrop_core.phantom.style_a.draw import draw_phantom


@pytest.fixture(scope="session")
def phantoms():
    return [draw_phantom(seed) for seed in (3, 8)]
