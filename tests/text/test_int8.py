from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.text.int8 import dequantise, quantise


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 5), groups=st.integers(1, 4), scale=st.floats(1e-6, 1e2), seed=st.integers(0, 2**31))
def test_no_value_moves_by_more_than_its_rounding(rows, groups, scale, seed):
    """Half a step of its group, and on top what float16 takes from the scale: 2⁻¹¹ of it, or 2⁻²⁵ where it is tiny."""
    matrix = torch.randn(rows, 64 * groups, generator=torch.Generator().manual_seed(seed)) * scale
    back = dequantise(quantise({"w": matrix}))["w"]
    largest = matrix.reshape(rows, groups, 64).abs().amax(dim=2).repeat_interleave(64, dim=1)
    assert ((back - matrix).abs() <= largest * (0.5 / 127 + 2**-10) + 127 * 2**-24).all()


def test_a_matrix_shrinks_to_a_quarter_and_vectors_stay():
    tensors = {"w": torch.randn(128, 256), "b": torch.randn(128)}
    stored = quantise(tensors)
    assert stored["w"].dtype == torch.int8
    assert sum(t.nbytes for t in stored.values()) < 0.27 * sum(t.nbytes for t in tensors.values())
    assert torch.equal(dequantise(stored)["b"], tensors["b"])
    assert set(dequantise(stored)) == set(tensors)


def test_a_matrix_of_zeros_stays_zero():
    assert not dequantise(quantise({"w": torch.zeros(2, 64)}))["w"].any()
