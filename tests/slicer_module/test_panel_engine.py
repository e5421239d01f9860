"""The panel's engine page: its own child process, a server elsewhere, and what each can go wrong with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import psutil
import pytest

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")

from panel_hand import MASS, PATIENCE_S, shot
from PySide6 import QtCore
from PySide6.QtTest import QTest
from SimCroPSlicerLib.child import Child
from SimCroPSlicerLib.command import Command
from SimCroPSlicerLib.runners import LocalEngine, RemoteEngine

from simcrop_core.errors import BadRequest

ROOT = Path(__file__).parents[2]


def certificate(folder, name):
    """A certificate of its own for this machine, and its key."""
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)),
        ],
        check=True,
        capture_output=True,
    )
    return key, pem


def test_an_unencrypted_server_elsewhere_is_refused(local):
    local.ui.remoteUrlEdit.text = "http://gpu.hospital.example:8378"
    local.ui.remoteUrlEdit.editingFinished.emit()
    assert "unencrypted" in local.ui.messageLabel.text


@pytest.mark.parametrize("url", ["https://gpu:99999", "https://gpu:port", "https://[::1", "https://", "ftp://gpu"])
def test_what_is_no_address_is_said_so(application, url):
    with pytest.raises(BadRequest, match="no address"):
        RemoteEngine(url, "token", "", lambda: None)


def test_a_server_that_is_not_there_is_said_so(local):
    local.ui.remoteUrlEdit.text = "http://127.0.0.1:9"
    local.ui.remoteUrlEdit.editingFinished.emit()
    local.ui.engineButton.collapsed = False
    local.click(local.ui.startEngineButton)
    local.until(local.idle)
    assert local.ui.messageLabel.visible
    assert "127.0.0.1:9" in local.ui.logTextEdit.plainText


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make certificates")
def test_over_tls_the_engine_page_trusts_the_authority_that_is_named_and_no_other(local, tmp_path):
    """A real server with a certificate of its own: refused by default, by another authority, and where none is read."""
    key, pem = certificate(tmp_path, "server")
    _, other = certificate(tmp_path, "other")
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "simcrop_core.cli", "serve", "--port", "0", "--parent-pid", str(os.getpid())),
            *("--tls-certificate", str(pem), "--tls-key", str(key)),
        ],
        env={**os.environ, "SIMCROP_SERVE_TOKEN": "over-tls", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = json.loads(child.stdout.readline())
        local.ui.engineButton.collapsed = False
        local.ui.remoteUrlEdit.text, local.ui.remoteTokenEdit.text = f"https://127.0.0.1:{ready['port']}", "over-tls"
        for cafile, words in (
            ("", "certificate was not accepted"),
            (str(other), "certificate was not accepted"),
            (str(key), "No certificate can be read"),
            (str(tmp_path / "none.pem"), "No certificate can be read"),
        ):
            local.ui.cafileEdit.text = cafile
            local.ui.cafileEdit.editingFinished.emit()
            local.click(local.ui.startEngineButton)
            local.until(lambda words=words: words in local.ui.messageLabel.text)
            local.until(local.idle)
        local.ui.cafileEdit.text = str(pem)
        local.ui.cafileEdit.editingFinished.emit()
        local.ui.askLineEdit.text = MASS
        QTest.keyClick(local.ui.askLineEdit, QtCore.Qt.Key_Return)
        local.until(local.idle)
        assert "located" in local.ui.answerLabel.text
        assert "at the server" in local.ui.engineStatusLabel.text
        shot(local, "tls")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_an_engine_that_could_only_fail_is_not_started(local, tmp_path):
    """Set up for another version of the panel: said at the first question, before a process is begun."""
    folder = local.widget.logic.choice.folder
    folder.mkdir(parents=True)
    (folder / "simcrop-engine.json").write_text('{"engine": "0.0.1"}')
    local.ui.askLineEdit.text = MASS
    QTest.keyClick(local.ui.askLineEdit, QtCore.Qt.Key_Return)
    local.until(local.idle)
    assert "version 0.0.1" in local.ui.messageLabel.text
    assert "Set up" in local.ui.messageLabel.text
    assert not local.widget.logic.choice.engine.starting
    local.ui.engineButton.collapsed = False
    local.click(local.ui.checkSetupButton)
    assert "0.0.1" in local.ui.setupLabel.text
    assert "PyTorch" in local.ui.setupLabel.text
    shot(local, "setup")


def test_the_engine_starts_by_itself_survives_a_kill_by_a_button_and_ends_with_the_panel(local, application):
    """A real child process: started by the first question, killed, shown, restarted, and gone at the end."""
    local.ui.askLineEdit.text = MASS
    QTest.keyClick(local.ui.askLineEdit, QtCore.Qt.Key_Return)
    local.until(local.idle)
    assert "located" in local.ui.answerLabel.text
    engine = local.widget.logic.choice.engine
    first = psutil.Process(engine.pid)
    assert "Running on this computer" in local.ui.engineStatusLabel.text
    shot(local, "engine")

    first.kill()
    local.until(lambda: "ended" in local.ui.messageLabel.text)
    assert "Ended unexpectedly" in local.ui.engineStatusLabel.text
    assert local.ui.startEngineButton.text == "Restart"
    local.click(local.ui.startEngineButton)
    local.until(local.idle)
    assert engine.pid != first.pid
    local.ui.answerLabel.text = ""
    QTest.keyClick(local.ui.askLineEdit, QtCore.Qt.Key_Return)
    local.until(lambda: "located" in local.ui.answerLabel.text)

    second = psutil.Process(engine.pid)
    local.widget.cleanup()
    second.wait(10)
    assert not second.is_running()


def agreeing(local, monkeypatch):
    monkeypatch.setattr(local.panel.engine, "_ask", lambda _question: True)
    local.ui.engineButton.collapsed = False
    local.events()


def test_the_engine_has_ended_before_its_folder_is_deleted(local, monkeypatch):
    """A real child process that takes a second to end: nothing of the folder goes before it has."""
    choice = local.widget.logic.choice
    agreeing(local, monkeypatch)
    choice.folder.mkdir(parents=True)
    (choice.folder / "library.so").write_bytes(b"in use")
    code = "import signal,sys,time;signal.signal(signal.SIGTERM,lambda *_:(time.sleep(1),sys.exit()));"
    code += "print('up',flush=True);time.sleep(600)"
    engine = choice.engine = LocalEngine(lambda: Command(sys.executable, ("-c", code)), choice._changed)
    engine.start()
    process = engine._process
    local.until(lambda: "up" in engine.log)
    there = []
    local.click(local.ui.uninstallButton)
    while not choice.ended:
        there.append((choice.folder / "library.so").exists() or process.state() == process.NotRunning)
        local.events()
    assert len(there) > 1
    assert all(there)
    local.until(local.idle)
    assert not choice.folder.exists()
    assert "removed" in local.ui.messageLabel.text


def test_what_of_the_engines_folder_could_not_be_deleted_is_said(local, monkeypatch):
    folder = local.widget.logic.choice.folder
    agreeing(local, monkeypatch)
    folder.mkdir(parents=True)
    (folder / "library.dll").write_bytes(b"in use")

    def refuse(path):
        raise PermissionError(13, "used by another program", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    local.click(local.ui.uninstallButton)
    local.until(local.idle)
    assert "library.dll: used by another program" in local.ui.messageLabel.text


def test_whatever_the_pytorch_extension_raises_the_panel_says_what_to_do(local, monkeypatch):
    """Pip's fault goes on, to Slicer's log; what is there afterwards is said."""
    agreeing(local, monkeypatch)
    part = local.panel.engine

    def pip_fails():
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(part, "_install_torch", pip_fails)
    monkeypatch.setattr("SimCroPSlicerLib.install.torch_state", lambda _path: ("half installed", "2.13.0"))
    with pytest.raises(subprocess.CalledProcessError):
        part.install()
    assert "could not be installed" in local.ui.messageLabel.text
    assert "PyTorch Util" in local.ui.messageLabel.text
    assert "PyTorch 2.13.0: an installation was interrupted" in local.ui.messageLabel.text
    assert part._child is None, "nothing else is fetched"


@pytest.mark.parametrize("program", [sys.executable, "/no/such/program"])
def test_a_process_outlives_its_own_signals_and_is_then_deleted(application, program):
    """Qt goes on using what sent a signal after its slots: to delete it there crashes Slicer, sooner or later."""
    held, ended = [], []

    def end(_code):
        ended.append(held[0]() is not None)

    child = Child(Command(program, ("-c", "print(1)")), lambda _line: None, end)
    held.append(weakref.ref(child._process))
    wait_for(application, lambda: ended and held[0]() is None)
    assert ended == [True]


def test_an_engine_that_ends_at_once_is_deleted_after_its_signals(application):
    held, seen = [], []

    def changed():
        if engine.crashed:
            seen.append(held[0]() is not None)

    engine = LocalEngine(lambda: Command(sys.executable, ("-c", "raise SystemExit(3)")), changed)
    engine.start()
    held.append(weakref.ref(engine._process))
    wait_for(application, lambda: seen and held[0]() is None)
    assert all(seen)


def wait_for(application, what):
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        application.qt_application.processEvents(QtCore.QEventLoop.AllEvents, 5)
