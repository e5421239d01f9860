"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from simcrop_core.results import DeviceName


def _half_of_the_memory() -> int:
    return int(psutil.virtual_memory().total) // 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Weights, device and limits of one server.

    Attributes:
        weights: name, folder or file.
        device: where to compute.
        tokens: those that are let in; each sees only what is its own.
        local: it runs for one user of this machine, who may open files by path and end it.
        memory_bytes: most that all scans hold together; the least recently used go first.
        upload_bytes: most that one volume may have, unpacked.
        queue: most requests at work or waiting; further ones are refused, but for `spare`.
        lease_s: how long a session lives without being used, unless it asks otherwise.
        longest_lease_s: most that it may ask for.
    """

    weights: str
    device: DeviceName
    tokens: tuple[str, ...]
    local: bool = False
    memory_bytes: int = 0
    upload_bytes: int = 4 << 30
    queue: int = 64
    lease_s: float = 120.0
    longest_lease_s: float = 3600.0

    @property
    def spare(self) -> int:
        """Places beyond the queue for sessions that have nothing at work: who asks much keeps nobody out."""
        return max(1, self.queue // 4)

    @property
    def queue_of_one(self) -> int:
        """Most requests of one token: with several tokens one leaves places for the others."""
        return self.queue if len(self.tokens) == 1 else self.queue - self.queue // 4

    @property
    def memory_limit(self) -> int:
        """`memory_bytes`, or half of the machine's memory where none was given."""
        return self.memory_bytes or _half_of_the_memory()
