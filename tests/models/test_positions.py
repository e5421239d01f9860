"""The fixed position tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import parity_weights

from simcrop_core.models.positions import simcrop_official, sincos3d

GRID = (14, 14, 14)
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("dim", [48, 192, 768])
def test_three_axis_rows_all_differ(dim):
    assert len(torch.unique(sincos3d(GRID, dim), dim=0)) == 2744


def test_three_axis_columns_are_sine_and_cosine_of_one_axis_each():
    """A frame that is not a cube: the row of (1, 4, 2) by hand, z fastest."""
    table = sincos3d((2, 5, 3), 12)
    expected = []
    for index in (1, 4, 2):
        angles = np.array([index, index * 10000**-0.5])
        expected += [*np.sin(angles), *np.cos(angles)]
    np.testing.assert_allclose(table[(1 * 5 + 4) * 3 + 2], expected, atol=1e-6)


def test_the_class_token_has_no_position():
    for build in (sincos3d, simcrop_official):
        table = build((2, 3, 4), 48, cls_row=True)
        assert table.shape == (25, 48)
        assert not table[0].any()
        assert torch.equal(table[1:], build((2, 3, 4), 48))


def test_the_released_table_knows_no_depth():
    table = simcrop_official(GRID, 768)
    assert len(torch.unique(table, dim=0)) == 196
    rows_HWDC = table.view(*GRID, 768)
    assert torch.equal(rows_HWDC, rows_HWDC[:, :, :1].expand_as(rows_HWDC))
    steps = torch.arange(14.0)
    torch.testing.assert_close(rows_HWDC[:, 3, 5, 0], steps.sin(), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows_HWDC[3, :, 5, 1], steps.cos(), atol=1e-6, rtol=0)


def test_the_released_table_is_the_released_codes():
    golden = np.load(GOLDEN / "seg_pos_embed_6x6x6.npz")
    table = simcrop_official((6, 6, 6), 768)
    np.testing.assert_allclose(table[golden["rows"]], golden["values"], atol=1e-6)
    np.testing.assert_allclose(table, parity_weights.position_table(6, 6, 6, 768)[0], atol=1e-6)


def test_a_width_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ValueError, match="multiple of 6"):
        sincos3d((2, 2, 2), 64)
    with pytest.raises(ValueError, match="even"):
        simcrop_official((2, 2, 2), 49)
