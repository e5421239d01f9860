"""Between patches a peak is where a parabola has it, and never further than half a patch from the best one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.inference.peak import peak_between

coordinates = st.floats(1.0, 5.0)


def best_of(map_XYZ):
    return tuple(int(i) for i in np.unravel_index(map_XYZ.argmax(), map_XYZ.shape))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(x=coordinates, y=coordinates, z=coordinates, width=st.floats(1.0, 4.0))
def test_the_peak_of_a_paraboloid_is_found_exactly_wherever_it_lies(x, y, z, width):
    grid = np.indices((7, 7, 7))
    away = sum((axis - at) ** 2 for axis, at in zip(grid, (x, y, z), strict=True))
    map_XYZ = 0.8 - 0.01 * away / width
    assert peak_between(map_XYZ, best_of(map_XYZ)) == pytest.approx([x, y, z], abs=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_it_is_at_most_half_a_patch_from_the_best_patch(seed):
    map_XYZ = np.random.default_rng(seed).normal(size=(4, 5, 6)).clip(-0.99)
    best = best_of(map_XYZ)
    assert np.abs(peak_between(map_XYZ, best) - best).max() <= 0.5 + 1e-9


def test_a_blob_seen_through_patches_is_found_to_a_tenth_of_one():
    """A Gaussian that patches average, as a lesion: against its known middle."""
    fine = (np.arange(140) + 0.5) / 20 - 0.5
    for middle in (2.6, 3.0, 3.3, 3.49):
        profile = np.exp(-(((fine - middle) / 1.1) ** 2)).reshape(7, 20).mean(1)
        map_XYZ = profile[:, None, None] * profile[None, :, None] * profile[None, None, :]
        assert np.abs(peak_between(map_XYZ, best_of(map_XYZ)) - middle).max() < 0.1


def test_at_the_edge_beside_padding_and_on_a_plateau_it_is_the_patchs_own_centre():
    rising = np.arange(5.0)[:, None, None] * np.ones((5, 5, 5))
    assert peak_between(rising, (4, 2, 2)).tolist() == [4, 2, 2]
    beside_padding = np.full((5, 5, 5), -1.0)
    beside_padding[2, 2, 2:4] = 0.5, 0.4
    assert peak_between(beside_padding, (2, 2, 2)).tolist() == [2, 2, 2]
    assert peak_between(np.zeros((5, 5, 5)), (2, 2, 2)).tolist() == [2, 2, 2]
