"""Sums in one order for any number of ranks."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.engine.ordered_sum import OrderedSum, cover, finished, halves
from simcrop_training.engine.ranks import share_of


def leaves(count):
    """Vectors whose sum depends on the order: magnitudes from 0.001 to 1000."""
    rng = torch.Generator().manual_seed(count)
    return [torch.randn(64, generator=rng) * 10 ** (6 * torch.rand(64, generator=rng) - 3) for _ in range(count)]


def over(count, world):
    """What the ranks of a world would add up to: their own nodes first, then all together."""
    nodes, vectors = {}, leaves(count)
    for rank in range(world):
        share = share_of(count, rank, world)
        own = OrderedSum(count)
        for leaf in share:
            own.add(leaf, vectors[leaf].clone())
        assert set(own.nodes) == set(cover((0, count), share))
        nodes |= own.nodes
    return finished((0, count), nodes)


@given(st.integers(1, 24), st.data())
@settings(max_examples=25, deadline=None)
def test_the_sum_is_the_same_to_the_last_bit_for_every_number_of_ranks(count, data):
    world = data.draw(st.integers(1, count))
    assert over(count, world).equal(over(count, 1))


def test_the_order_is_a_binary_tree_by_hand():
    a, b, c, d, e = leaves(5)
    assert over(5, 2).equal(((a + b) + (c + d)) + e)
    assert not over(5, 1).equal((((a + b) + c) + d) + e)


def test_a_rank_holds_few_unfinished_sums_at_a_time():
    """A step of 48 micro-batches needs 6 gradients of memory, not 48."""
    sums, most = OrderedSum(48), 0
    for leaf in range(48):
        sums.add(leaf, torch.zeros(1))
        most = max(most, len(sums.nodes))
    assert most <= math.ceil(math.log2(48))
    assert list(sums.nodes) == [(0, 48)]


@given(st.integers(1, 100), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_shares_are_even_and_complete(pieces, world):
    shares = [share_of(pieces, rank, world) for rank in range(world)]
    assert [piece for share in shares for piece in share] == list(range(pieces))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_halves_leave_the_full_tree_on_the_left():
    assert halves((0, 48)) == ((0, 32), (32, 48))
    assert halves((32, 48)) == ((32, 40), (40, 48))
    assert halves((4, 6)) == ((4, 5), (5, 6))
