"""Tests of the Slicer module on real MRML; skipped where the wheel `slicer-core` is not installed."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of

ROOT = Path(__file__).parents[2]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
sys.path.insert(0, str(ROOT / "SimCroPSlicer"))

if importlib.util.find_spec("slicer") is None:
    NEEDING = ("anatomy", "install", "rows", "scene", "segments", "views", "panel", "images", "frames")
    collect_ignore_glob = [f"test_{name}*.py" for name in NEEDING]


@pytest.fixture(autouse=True)
def collected_on_the_gui_thread():
    """Nothing is collected but here: the thread that reads a server's log would else end Qt's objects, and crash."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture
def bare():
    """An empty scene with Slicer's logics."""
    from bare_slicer import BareSlicer

    return BareSlicer()


@pytest.fixture(scope="module")
def server():
    """One engine for the tests that do not end it: the panel reaches it as it would a department's server."""
    token = "the-token-of-the-tests"
    child = subprocess.Popen(
        [sys.executable, "-m", "simcrop_core.cli", "serve", "--port", "0", "--parent-pid", str(os.getpid())],
        env={**os.environ, "SIMCROP_SERVE_TOKEN": token, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    ready = json.loads(child.stdout.readline())
    yield f"http://127.0.0.1:{ready['port']}", token
    child.kill()
    child.wait()
    child.stdout.close()


@pytest.fixture
def application():
    """A scene with Qt's event loop beside it; skips where the stand-ins have no Qt."""
    pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")
    from slicer_widgets import Application

    return Application()


@pytest.fixture
def chest(application):
    """The chest of `chests.py` on a tilted grid, with a mass in the left lower lobe."""
    shape = (90, 64, 72)
    affine = affine_of(shape=shape, spacing=(4.0, 4.0, 4.0), signs=(-1, -1, 1), rotation=(4, -3, 6))
    return application.add_volume(volume_of(_with_a_mass, affine, shape).voxels, affine)


def _with_a_mass(points):
    hu = chest_hu(points)
    hu[(((points - np.array((-70, -35, -60))) ** 2).sum(-1) < 22**2)] = 40
    return hu


@pytest.fixture
def local(application, chest, monkeypatch, tmp_path):
    """The panel with an engine of its own, as it is in Slicer."""
    from panel_hand import Panel

    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path))
    application.slice_view()
    opened = Panel(application)
    yield opened
    opened.widget.exit()
    opened.widget.cleanup()


@pytest.fixture
def panel(local, server):
    """The panel, asking the tests' server."""
    local.ui.remoteUrlEdit.text, local.ui.remoteTokenEdit.text = server
    local.ui.remoteTokenEdit.editingFinished.emit()
    return local
