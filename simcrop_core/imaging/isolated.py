"""Read a scan that others made in a process of its own, with caps of memory and time: a parser that fails ends alone.

The child (`isolated_child`) is not trusted: it says JSON, every field of which is judged, and leaves voxels in a file
whose length must fit them. Nothing of it is left behind, however it ends.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO

from simcrop_core.errors import (
    CannotWrite,
    InternalFault,
    OutOfMemory,
    ReadingTookTooLong,
    SimCroPError,
    UnreadableFile,
    error_of,
)
from simcrop_core.imaging import isolated_child
from simcrop_core.imaging.confined import ReadLimits
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.isolated_form import dicom_of, header_of, voxel_type_of
from simcrop_core.imaging.single_volume import room_for
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job

_POLL_S = 0.1
_ENDING_S = 10.0
# A message is a line; the longest has the numbers of some 50,000 slices.
_LONGEST_LINE = 2**22
_MOST_SAID = 2**25
_LOG_TAIL = 4000
_DAMAGED = "It is damaged, or made to do harm. Export it again, or convert it with a tool you trust."


@dataclass(frozen=True, slots=True, eq=False)
class ReadScan:
    """What was read: the header as the file states it, and the volume."""

    header: Header
    volume: Volume


def read_isolated(
    path: Path,
    *,
    series: str | None = None,
    frame: int | None = None,
    job: Job | None = None,
    limits: ReadLimits | None = None,
) -> ReadScan:
    """What `simcrop_core.imaging.read.open_scan` opens and decodes, parsed in a process of its own.

    Args:
        path: as there.
        series: as there.
        frame: as there.
        job: for progress and cancellation, which ends the process.
        limits: of that process.

    Raises:
        SimCroPError: as there.
        UnreadableFile: also, the process crashed.
        OutOfMemory: also, it needed more memory than it may take, or the system ended it.
        ReadingTookTooLong: it needed more time than it may take.
        CannotWrite: also, the folder of temporary files has no room.
        InternalFault: the process does not start.
    """
    with ScanReading(path, series=series, frame=frame, limits=limits) as reading:
        return reading.result(job)


class ScanReading:
    """A scan being read in a process of its own, beside whatever this one does meanwhile. Close it.

    Args:
        path: as of `read_isolated`.
        series: as of `read_isolated`.
        frame: as of `read_isolated`.
        limits: of the process.

    Raises:
        CannotWrite: the folder of temporary files cannot be written.
        InternalFault: the process does not start.
    """

    def __init__(
        self, path: Path, *, series: str | None = None, frame: int | None = None, limits: ReadLimits | None = None
    ) -> None:
        self._path = path
        self._said: SimpleQueue[bytes | None] = SimpleQueue()
        self._open = ExitStack()
        limits = limits or ReadLimits()
        self._limits = limits
        self._alive = False
        self._end = time.monotonic() + limits.seconds
        try:
            request = {"path": str(path), "series": series, "frame": frame, "limits": dataclasses.asdict(limits)}
            folder = tempfile.TemporaryDirectory(prefix="simcrop-read-", ignore_cleanup_errors=True)
            self._folder = Path(self._open.enter_context(folder))
            self._exchange = self._open.enter_context(_nameless(self._folder))
            self._exchange.write(json.dumps(request).encode())
            self._exchange.seek(0)
            self._log = self._open.enter_context((self._folder / "log").open("w+b"))
        except OSError as error:
            self._open.close()
            raise CannotWrite(
                f"The folder of temporary files cannot be written: {error.strerror}.", hint="Free space on its disk."
            ) from error
        try:
            self._child = self._started()
        except OSError as error:
            self._open.close()
            raise InternalFault(
                f"No process can be started to read {path.name}: {error.strerror}.", hint="Close other programs."
            ) from error

    def _started(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            # -P: nothing in the current directory can stand in for a package.
            [sys.executable, "-P", "-m", isolated_child.__name__],
            stdin=self._exchange,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(self._folder),
        )
        assert child.stdout is not None
        self._open.enter_context(child.stdout)
        listener = threading.Thread(target=_listen, args=(child.stdout, self._said), daemon=True)
        listener.start()
        self._open.callback(listener.join, _ENDING_S)
        self._open.callback(_ended, child)
        return child

    def __enter__(self) -> ScanReading:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, where it has not ended, and remove what it left."""
        self._open.close()

    def result(self, job: Job | None = None) -> ReadScan:
        """Wait for what is read.

        Raises:
            SimCroPError: as `read_isolated`.
        """
        said = self._last_word(job or Job())
        # From here on nobody changes the file.
        code = _ended(self._child, wait_s=0.0 if said else _ENDING_S)
        if said is None:
            raise self._crash(code)
        try:
            if "fault" in said:
                raise error_of(*(str(said["fault"][part]) for part in ("code", "message", "hint")))
            return self._read(said["scan"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableFile(f"The reader of {self._path.name} gave no volume.", hint=_DAMAGED) from error

    def _last_word(self, job: Job) -> dict[str, Any] | None:
        """The message that ends the reading; None where the process ended without one."""
        stage, done, total = "reading", 0, 0
        while True:
            try:
                line = self._said.get(timeout=_POLL_S)
            except Empty:
                if time.monotonic() > self._end:
                    raise self._too_long() from None
                job.step(stage, done, total)
                continue
            message = None if line is None else _message(line)
            if message is None or not message.keys() & {"progress", "started"}:
                return message
            self._alive = True
            if "progress" in message:
                stage, done, total = _progress(message["progress"])
                job.step(stage, done, total)

    def _read(self, description: Any) -> ReadScan:
        """The scan in the message and the file, judged."""
        header = header_of(description)
        dicom = dicom_of(description, header.shape[2])
        values = room_for(math.prod(header.shape), voxel_type_of(description), name=header.name)
        octets = values.data.cast("B")
        if os.fstat(self._exchange.fileno()).st_size != len(octets):
            raise ValueError("the file is no longer or shorter than the voxels")
        self._exchange.seek(0)
        while octets:
            octets = octets[_filled(self._exchange, octets) :]
        voxels = values.reshape(header.shape, order="F")
        return ReadScan(header, Volume(voxels, header.affine, header.name, dicom, header.findings, header.frame))

    def _crash(self, code: int) -> SimCroPError:
        """What it means that the process ended without a last word, with its log."""
        self._log.seek(0)
        log = self._log.read().decode("utf-8", "replace")[-_LOG_TAIL:].strip()
        fault = self._meaning(code, (log.splitlines() or ["it said nothing"])[-1])
        fault.add_note(log)
        return fault

    def _meaning(self, code: int, last_line: str) -> SimCroPError:
        name = self._path.name
        if sys.platform != "win32" and code in (-signal.SIGXCPU, -signal.SIGALRM):
            return self._too_long()
        if sys.platform != "win32" and code == -signal.SIGKILL:
            return OutOfMemory(
                f"The system ended the process that read {name}, most likely for want of memory.",
                hint="Close other programs, or crop the volume.",
            )
        if not self._alive:
            return InternalFault(
                f"The process that reads scans does not start: {last_line}.", hint="Install SimCroP again."
            )
        how = _signal_name(code) if code < 0 else f"exit code {code}: {last_line}"
        return UnreadableFile(f"The reader of {name} crashed ({how}).", hint=_DAMAGED)

    def _too_long(self) -> ReadingTookTooLong:
        return ReadingTookTooLong(
            f"Reading {self._path.name} took longer than {self._limits.seconds:g} s, or more of the processor than "
            f"{self._limits.cpu_seconds} s; it was stopped.",
            hint="Copy it to a disk of this machine. Where that does not help, the file is made to do harm.",
        )


def _nameless(folder: Path) -> Any:
    """A file that is gone when the last of its holders is: of memory on Linux, where no voxel reaches a disk so."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("simcrop-read"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0, dir=folder)


def _environment(folder: Path) -> dict[str, str]:
    """The child finds packages where this process does, keeps its temporary files in `folder`, and has one thread."""
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    return {**os.environ, **places, **threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _listen(pipe: BinaryIO, said: SimpleQueue[bytes | None]) -> None:
    """Every line that comes, and None at the end; no more than any reading says."""
    total = 0
    while total < _MOST_SAID and (line := pipe.readline(_LONGEST_LINE)):
        total += len(line)
        said.put(line)
    said.put(None)


def _ended(child: subprocess.Popen[bytes], wait_s: float = 0.0) -> int:
    """The exit code of a process that may have some time yet to end by itself."""
    try:
        return child.wait(wait_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _message(line: bytes) -> dict[str, Any]:
    """A message; one that is none reads as an empty one."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _progress(said: Any) -> tuple[str, int, int]:
    match said:
        case [str(stage), int(done), int(total)]:
            return stage, done, total
    return "reading", 0, 0


def _filled(file: Any, octets: memoryview) -> int:
    got: int = file.readinto(octets)
    if not got:
        raise ValueError("the file ends before the voxels do")
    return got


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
