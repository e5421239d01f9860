"""Distances and overlaps, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from chests import affine_of

from simcrop_core.demo.measure import dice, distance_mm
from simcrop_core.imaging.affine import apply


def test_dice():
    a, b = np.zeros((2, 4, 4), dtype=bool), np.zeros((2, 4, 4), dtype=bool)
    assert dice(a, b) == 1
    a[0, :2], b[0, 1:3] = True, True
    assert dice(a, b) == pytest.approx(2 * 4 / 16)
    assert dice(a, ~a) == 0


def test_distance_is_in_millimetres_and_zero_inside():
    affine = affine_of(order=(1, 2, 0), signs=(-1, 1, -1), spacing=(2.0, 3.0, 4.0), rotation=(10, 20, 30))
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[5, 5, 5] = True
    assert distance_mm(apply(affine, [5.2, 4.9, 5.3]), mask, affine) == 0
    assert distance_mm(apply(affine, [5, 9, 5]), mask, affine) == pytest.approx(12)
    assert distance_mm(apply(affine, [5, 5, 40]), mask, affine) == pytest.approx(140)
