"""A program run to its end beside the GUI, its lines shown as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from SimCroPSlicerLib.command import Command
from SimCroPSlicerLib.runners import bytes_of, let_go


class Child:
    """One run of a program.

    Args:
        command: to run.
        line: called with each line that it prints.
        ended: called with its exit code, or -1 where it crashed or could not be started.
    """

    def __init__(self, command: Command, line: Callable[[str], None], ended: Callable[[int], None]) -> None:
        self._line, self._ended = line, ended
        self._rest = b""
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in command.environment.items():
            if value is None:
                environment.remove(name)
            else:
                environment.insert(name, value)
        self._process: Any = qt.QProcess()
        self._process.setProcessEnvironment(environment)
        self._process.setProcessChannelMode(qt.QProcess.MergedChannels)
        self._process.connect("readyReadStandardOutput()", self._read)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._error)
        self._process.start(command.program, list(command.arguments))

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()

    def _read(self) -> None:
        if self._process is None:
            return
        self._rest += bytes_of(self._process.readAllStandardOutput())
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace").rstrip())

    def _finished(self, code: int, status: Any) -> None:
        if self._process is None:
            return
        self._read()
        self._end(int(code) if status == qt.QProcess.NormalExit else -1)

    def _error(self, *_: Any) -> None:
        if self._process is not None and self._process.state() == qt.QProcess.NotRunning:
            self._line(str(self._process.errorString()))
            self._end(-1)

    def _end(self, code: int) -> None:
        let_go(self._process)
        self._process = None
        self._ended(code)
