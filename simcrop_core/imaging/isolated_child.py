"""The process that reads one scan for another: `python -m simcrop_core.imaging.isolated_child`.

Its standard input is a file that holds the request and takes the voxels; its standard output takes JSON, a message a
line: `progress`, and in the end `scan` or `fault`. It holds itself to its limits before it opens the scan.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simcrop_core.errors import CannotWrite, OutOfMemory, SimCroPError
from simcrop_core.imaging.confined import ReadLimits, confine_decoding, confine_opening
from simcrop_core.progress import Job, Progress

_SAID_EVERY_S = 0.05
_PIECE = 2**26

Say = Callable[[dict[str, Any]], None]


def main() -> None:
    """Read the scan that is asked for."""
    # Whoever interrupts the parent is heard by the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exchange = io.FileIO(sys.stdin.fileno(), "r+", closefd=False)
    say = _messages()
    request = json.loads(exchange.readall())
    exchange.seek(0)
    exchange.truncate()
    limits = ReadLimits(**request["limits"])
    say({"started": True})
    try:
        confine_opening(limits)
        say({"scan": _read(request, limits, exchange, _told(say))})
    except MemoryError:
        name = Path(request["path"]).name
        say(_fault(OutOfMemory(f"{name} takes more memory to be read than there is.", hint="Close other programs.")))
    except SimCroPError as fault:
        say(_fault(fault))
    # What the libraries would still tidy up goes with the process.
    os._exit(0)


def _read(request: dict[str, Any], limits: ReadLimits, exchange: io.FileIO, job: Job) -> dict[str, Any]:
    """The voxels into `exchange`, columns fastest, and everything else as it is said."""
    # Here, where memory is limited already.
    from simcrop_core.imaging.isolated_form import description_of
    from simcrop_core.imaging.read import open_scan

    with open_scan(Path(request["path"]), series=request["series"], frame=request["frame"], job=job) as scan:
        confine_decoding(scan.header, limits)
        volume = scan.decode()
        _write(exchange, volume.voxels.reshape(-1, order="F").data.cast("B"))
        return description_of(scan.header, volume)


def _write(exchange: io.FileIO, octets: memoryview) -> None:
    try:
        while octets:
            octets = octets[exchange.write(octets[:_PIECE]) :]
    except OSError as error:
        raise CannotWrite(
            f"No room for the voxels in the folder of temporary files: {error.strerror}.",
            hint="Free space on its disk.",
        ) from error


def _messages() -> Say:
    """Where messages go; what libraries write to the standard output joins the log."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    pipe = os.fdopen(own, "wb", buffering=0)

    def say(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message).encode() + b"\n")

    return say


def _told(say: Say) -> Job:
    """A job whose steps are said, as often as somebody can follow them."""
    stage, said_s = "", 0.0

    def report(step: Progress) -> None:
        nonlocal stage, said_s
        now = time.monotonic()
        if step.stage != stage or now - said_s >= _SAID_EVERY_S:
            stage, said_s = step.stage, now
            say({"progress": [step.stage, step.done, step.total]})

    return Job(report)


def _fault(fault: SimCroPError) -> dict[str, Any]:
    return {"fault": {"code": fault.code, "message": fault.message, "hint": fault.hint}}


if __name__ == "__main__":
    main()
