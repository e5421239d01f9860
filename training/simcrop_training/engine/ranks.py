"""The processes of a run: who they are, and what they agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of the run, and the device it computes on."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes logs and measures."""
        return self.rank == 0

    def share(self, pieces: int) -> range:
        """The pieces of a step that this process computes: neighbours, as evenly as they go."""
        return share_of(pieces, self.rank, self.world)

    def added(self, values: list[int]) -> list[int]:
        """Integers added up over all processes, on the host: no accelerator waits."""
        if self.world == 1:
            return values
        summed = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(summed)
        numbers: list[int] = summed.tolist()
        return numbers

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            self.added([0])

    def told(self, value: Any) -> Any:
        """The first process's value."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def gathered_tensors(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """The tensors of all processes, in their order; shapes and numbers may differ. They stay on the device."""
        if self.world == 1:
            return [list(tensors)]
        kinds: list[list[tuple[torch.dtype, torch.Size]]] = self.gathered([(t.dtype, t.shape) for t in tensors])
        sizes = [sum(dtype.itemsize * shape.numel() for dtype, shape in own) for own in kinds]
        sent = torch.zeros(max(sizes), dtype=torch.uint8, device=self.device)
        if tensors:
            flat = [t.detach().contiguous().view(-1).view(torch.uint8) for t in tensors]
            sent[: sizes[self.rank]] = torch.cat(flat)
        received = [torch.empty_like(sent) for _ in sizes]
        dist.all_gather(received, sent)
        return [_unpacked(buffer, own) for buffer, own in zip(received, kinds, strict=True)]


def _unpacked(buffer: Tensor, kinds: Sequence[tuple[torch.dtype, torch.Size]]) -> list[Tensor]:
    tensors = []
    for dtype, shape in kinds:
        size = dtype.itemsize * shape.numel()
        # A copy begins at an address that any type may have.
        tensors.append(buffer[:size].clone().view(dtype).view(shape))
        buffer = buffer[size:]
    return tensors


def share_of(pieces: int, rank: int, world: int) -> range:
    """The pieces of one rank: neighbours, as evenly as they go."""
    return range(pieces * rank // world, pieces * (rank + 1) // world)


ALONE = Ranks(0, 1, torch.device("cpu"))


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The processes that `torchrun` started, joined; without `torchrun` this process alone.

    Everything the processes tell each other about the run goes over gloo on the host; gradients go over NCCL where
    there are GPUs.
    """
    local = int(os.environ.get("LOCAL_RANK", 0))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if "WORLD_SIZE" not in os.environ:
        yield Ranks(0, 1, device)
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
