"""Engines: a child process of Slicer's on this machine, or a server elsewhere. Qt drives both."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import qt

from simcrop_core.serve.wire import TOKEN_VARIABLE
from SimCroPSlicerLib.command import Command
from SimCroPSlicerLib.line import Address
from SimCroPSlicerLib.server_url import server_url

LOG_LINES = 400
SHOWN_ON_CRASH = 12
_SOFT_MS = 1500


class TurnTimer:
    """Calls a function between the GUI's events for as long as it says that there is more to do.

    Args:
        turn: does a few milliseconds of work; whether there is more.
        interval_ms: between two turns.
    """

    def __init__(self, turn: Callable[[], bool], interval_ms: int = 4) -> None:
        self._turn = turn
        self._timer = qt.QTimer()
        self._timer.setInterval(interval_ms)
        self._timer.connect("timeout()", self._timeout)

    def wake(self) -> None:
        """There is work."""
        if not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """No more turns."""
        self._timer.stop()

    def _timeout(self) -> None:
        if not self._turn():
            self._timer.stop()


def let_go(sender: Any) -> None:
    """Delete a QObject once its own signal has returned: Qt still uses a sender while its slots run."""
    qt.QTimer.singleShot(0, lambda: sender.deleteLater())


def bytes_of(data: Any) -> bytes:
    """A QByteArray's bytes; PythonQt gives text where Python 2 did."""
    raw = data.data()
    return raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)


class LocalEngine:
    """The engine as a child process: its own port and token, its output drained, ended by its own pid.

    Args:
        command: that starts it; asked for anew at every start.
        changed: called when its state or its log changes.
    """

    on_this_machine = True
    cafile = ""

    def __init__(self, command: Callable[[], Command], changed: Callable[[], None]) -> None:
        self._command = command
        self._changed = changed
        self._process: Any = None
        self._ending: list[Any] = []
        self._token = ""
        self._output = b""
        self.address: Address | None = None
        self.pid: int | None = None
        self.crashed = False
        self.log: deque[str] = deque(maxlen=LOG_LINES)

    @property
    def starting(self) -> bool:
        """Whether it runs and has not yet said where it listens."""
        return self._process is not None and self.address is None

    @property
    def ended(self) -> bool:
        """Whether no process of it is left, also none that was told to end."""
        self._ending = self._still_ending()
        return self._process is None and not self._ending

    def _still_ending(self) -> list[Any]:
        return [process for process in self._ending if process.state() != qt.QProcess.NotRunning]

    def start(self) -> None:
        """Start it, unless it runs.

        Raises:
            MissingDependency: something that it needs is not there.
        """
        if self._process is not None:
            return
        command = self._command()
        self.crashed = False
        self._token, self._output = secrets.token_urlsafe(32), b""
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in {**command.environment, TOKEN_VARIABLE: self._token}.items():
            if value is None:
                environment.remove(name)
            else:
                environment.insert(name, value)
        process = qt.QProcess()
        process.setProcessEnvironment(environment)
        process.connect("readyReadStandardOutput()", self._read_output)
        process.connect("readyReadStandardError()", self._read_log)
        process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._error)
        self._process = process
        process.start(command.program, list(command.arguments))
        process.closeWriteChannel()
        self._changed()

    def stop(self) -> None:
        """End it: ask, then insist. Returns at once."""
        process, self._process = self._process, None
        pid, self.pid, self.address = self.pid, None, None
        if process is not None:
            self._ending = [*self._still_ending(), process]
            _end_soft(process, pid)
            qt.QTimer.singleShot(_SOFT_MS, lambda: _end_hard(process, pid))
            self._changed()

    def stop_now(self) -> None:
        """End it while Slicer itself ends, when no timer will fire any more."""
        process, self._process = self._process, None
        pid, self.pid, self.address = self.pid, None, None
        if process is not None:
            _end_soft(process, pid)
            if not process.waitForFinished(_SOFT_MS):
                _end_hard(process, pid)

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join(list(self.log)[-SHOWN_ON_CRASH:])

    def _read_output(self) -> None:
        """Its first line says where it listens; what else it prints is drained."""
        if self._process is None:
            return
        self._output += bytes_of(self._process.readAllStandardOutput())
        while b"\n" in self._output:
            line, _, self._output = self._output.partition(b"\n")
            if self.address is None:
                self._listens(line)

    def _listens(self, line: bytes) -> None:
        try:
            ready = json.loads(line)
            self.pid, port = int(ready["pid"]), int(ready["port"])
        except (ValueError, KeyError, TypeError):
            self.log.append(line.decode("utf-8", "replace"))
            return
        self.address = Address("127.0.0.1", port, self._token)
        self._changed()

    def _read_log(self) -> None:
        if self._process is not None:
            text = bytes_of(self._process.readAllStandardError()).decode("utf-8", "replace")
            self.log.extend(text.splitlines())
            self._changed()

    def _finished(self, *_: Any) -> None:
        if self._process is not None:
            self._read_log()
            let_go(self._process)
            self._process, self.address, self.pid = None, None, None
            self.crashed = True
            self._changed()

    def _error(self, *_: Any) -> None:
        """The program could not be started (a crash comes as `finished`)."""
        if self._process is not None and self._process.state() == qt.QProcess.NotRunning:
            self.log.append(str(self._process.errorString()))
            self._finished()


def _end_soft(process: Any, pid: int | None) -> None:
    # What QProcess knows may be a launcher (PythonSlicer): the engine's own pid is what counts.
    if pid is not None:
        _signal(pid, signal.SIGTERM)
    else:
        process.terminate()


def _end_hard(process: Any, pid: int | None) -> None:
    if process.state() == qt.QProcess.NotRunning:
        return
    if pid is not None:
        _signal(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    process.kill()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        # It has ended in between.
        return


class RemoteEngine:
    """A server elsewhere: found by Qt, which looks the name up without holding the GUI.

    Args:
        url: such as https://gpu.hospital.example:8443.
        token: for it.
        cafile: of the certificate authority, "" for the system's own.
        changed: called when it was found, or not.

    Raises:
        BadRequest: this is no address of a server.
    """

    on_this_machine = False

    def __init__(self, url: str, token: str, cafile: str, changed: Callable[[], None]) -> None:
        self._where = server_url(url)
        self._token = token
        self.cafile = cafile
        self._changed = changed
        self._socket: Any = None
        self.address: Address | None = None
        self.crashed = False
        self.pid: int | None = None
        self.log: deque[str] = deque(maxlen=LOG_LINES)

    @property
    def ended(self) -> bool:
        """No process here is its own."""
        return True

    @property
    def starting(self) -> bool:
        """Whether it is being looked for."""
        return self._socket is not None

    def start(self) -> None:
        """Look for it."""
        if self.address is not None or self._socket is not None:
            return
        self.crashed = False
        self._socket = qt.QTcpSocket()
        self._socket.connect("connected()", self._connected)
        self._socket.connect("errorOccurred(QAbstractSocket::SocketError)", self._error)
        self._socket.connectToHost(self._where.host, self._where.port)
        self._changed()

    def stop(self) -> None:
        """Leave it; it goes on for others."""
        self._socket, self.address = None, None
        self._changed()

    stop_now = stop

    def last_words(self) -> str:
        """Why it was not found."""
        return "\n".join(list(self.log)[-SHOWN_ON_CRASH:])

    def _connected(self) -> None:
        found, self._socket = self._socket, None
        host = str(found.peerAddress().toString()).removeprefix("::ffff:")
        found.abort()
        let_go(found)
        self.address = Address(host, self._where.port, self._token, self._where.host if self._where.tls else "")
        self._changed()

    def _error(self, *_: Any) -> None:
        if self._socket is not None:
            self.log.append(f"{self._where.host}:{self._where.port}: {self._socket.errorString()}")
            let_go(self._socket)
            self._socket = None
            self.crashed = True
            self._changed()
