"""What of a suite is done, how long it took, and what could not be done: kept, so that the same command goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simcrop_training.evaluate.identity import AnotherRun, differences
from simcrop_training.evaluate.written import write_json

FILE, SCHEMA = "suite.json", "simcrop.suite/1"


@dataclass(slots=True)
class Done:
    """One part.

    Attributes:
        title: in the table of times.
        seconds: by the clock, over all calls.
        cpu_seconds: of this process and those it waited for; on Windows of this one alone.
        finished: whether it need not be done again.
        reasons: why a model has no figure, by its name.
        fault: why the part as a whole has none.
    """

    title: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    finished: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    fault: str = ""


class Kept:
    """The record of a folder.

    Args:
        folder: of the suite.
        identity: what it is made with.

    Raises:
        AnotherRun: it was made with something else.
        CannotWrite: the folder is not writable.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._path, self._identity = folder / FILE, json.loads(json.dumps(identity))
        self.parts: dict[str, Done] = {}
        if self._path.is_file():
            known = json.loads(self._path.read_text(encoding="utf-8"))
            if differing := differences(known["identity"], self._identity):
                raise AnotherRun(
                    f"{folder} holds a suite made otherwise: {'; '.join(differing)}.",
                    hint="Give another folder, or the options that this one was made with.",
                )
            self.parts = {key: Done(**part) for key, part in known["parts"].items()}
        self._write()

    def finished(self, key: str) -> bool:
        """Whether a part need not be done again."""
        return key in self.parts and self.parts[key].finished

    @contextmanager
    def timed(self, key: str, title: str) -> Iterator[Done]:
        """Time a part; what it took is kept however it ends."""
        part = self.parts.setdefault(key, Done(title))
        part.fault = ""
        began, busy = time.perf_counter(), _cpu_seconds()
        try:
            yield part
        finally:
            part.seconds = round(part.seconds + time.perf_counter() - began, 1)
            part.cpu_seconds = round(part.cpu_seconds + _cpu_seconds() - busy, 1)
            self._write()

    def _write(self) -> None:
        parts = {key: asdict(part) for key, part in self.parts.items()}
        write_json(self._path, {"schema": SCHEMA, "identity": self._identity, "parts": parts})


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
