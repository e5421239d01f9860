"""How a child process is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A program and what it is given.

    Attributes:
        program: to run.
        arguments: of the program.
        environment: what is added to, or (with None) taken from, Slicer's own.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str | None] = field(default_factory=dict)
