"""The processes of a run: who they are, and what they agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


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
