"""Sums over the micro-batches of a step, added in one order whoever computes them.

Floating-point addition is not associative, so a sum that is grouped by rank changes with the number of ranks. Here the
order is a fixed binary tree over the step's micro-batches:

    0  1  2  3  4        leaves: gradients of micro-batches
    └──┤  └──┤  │
       └─────┤  │
             └──┴─ sum

A rank adds what lies in its own share, as far up the tree as that goes. Then each rank receives the unfinished nodes of
all ranks for its own slice of the parameters, finishes the tree there, and sends the result to all. That moves as many
bytes as a ring all-reduce.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch.distributed as dist
from torch import Tensor

from simcrop_training.engine.ranks import Ranks, share_of

Span = tuple[int, int]


def halves(span: Span) -> tuple[Span, Span]:
    """The two children of a node: the first is the largest full binary tree that fits and leaves something."""
    first, end = span
    middle = first + (1 << (end - first - 1).bit_length() - 1)
    return (first, middle), (middle, end)


def cover(root: Span, share: range) -> list[Span]:
    """The highest nodes of a tree that lie wholly in a share of its leaves, from left to right."""
    if share.start <= root[0] and root[1] <= share.stop:
        return [root]
    if root[1] <= share.start or share.stop <= root[0]:
        return []
    left, right = halves(root)
    return cover(left, share) + cover(right, share)


def finished(root: Span, nodes: Mapping[Span, Tensor]) -> Tensor:
    """The value of a node from those of nodes below it."""
    if root in nodes:
        return nodes[root]
    left, right = halves(root)
    return finished(left, nodes) + finished(right, nodes)


class OrderedSum:
    """The sum of one vector a micro-batch over a step.

    Args:
        leaves: micro-batches of a step.
    """

    def __init__(self, leaves: int) -> None:
        self.root: Span = (0, leaves)
        self.nodes: dict[Span, Tensor] = {}

    def add(self, leaf: int, vector: Tensor) -> None:
        """Take in the vector of a leaf, which is overwritten; only unfinished nodes are kept."""
        path = [self.root]
        while path[-1] != (leaf, leaf + 1):
            left, right = halves(path[-1])
            path.append(left if leaf < left[1] else right)
        self.nodes[path[-1]] = vector
        for parent in reversed(path[:-1]):
            left, right = halves(parent)
            if left not in self.nodes or right not in self.nodes:
                return
            self.nodes[parent] = self.nodes.pop(left).add_(self.nodes.pop(right))

    def over_all(self, ranks: Ranks) -> Tensor:
        """The sum over the leaves of all ranks, which hold the shares of `Ranks.share`; the same on every rank."""
        if ranks.world == 1:
            return finished(self.root, self.nodes)
        covers = [cover(self.root, share_of(self.root[1], rank, ranks.world)) for rank in range(ranks.world)]
        own = [self.nodes[span] for span in covers[ranks.rank]]
        length = own[0].numel()
        slice_length = -(-length // ranks.world)
        padded = own[0].new_zeros(len(own), ranks.world * slice_length)
        for row, node in zip(padded, own, strict=True):
            row[:length] = node
        sent = padded.view(len(own), ranks.world, slice_length).transpose(0, 1).contiguous()
        received = padded.new_empty(sum(map(len, covers)), slice_length)
        dist.all_to_all_single(
            received.view(-1),
            sent.view(-1),
            [len(spans) * slice_length for spans in covers],
            [len(own) * slice_length] * ranks.world,
        )
        spans = [span for spans in covers for span in spans]
        part = finished(self.root, dict(zip(spans, received, strict=True)))
        whole = padded.new_empty(ranks.world * slice_length)
        with warnings.catch_warnings():
            # Renamed in PyTorch 2.13; the new name does not exist before.
            warnings.filterwarnings("ignore", ".*all_gather_into_tensor. is deprecated", FutureWarning)
            dist.all_gather_into_tensor(whole, part.contiguous())
        return whole[:length]


def ordered(rows_MP: Tensor, ranks: Ranks) -> Tensor:
    """The sum of small rows over micro-batches, (M, P) → (P,): each rank fills in its own, the others are zero."""
    if ranks.world > 1:
        dist.all_reduce(rows_MP)  # Every row has one term that is not zero: no rounding, no order.
    return finished((0, len(rows_MP)), {(m, m + 1): row for m, row in enumerate(rows_MP)})
