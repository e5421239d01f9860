"""Tests of the Slicer module on real MRML; skipped where the wheel `slicer-core` is not installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
sys.path.insert(0, str(Path(__file__).parents[2] / "SimCroPSlicer"))

if importlib.util.find_spec("slicer") is None:
    NEEDING = ("anatomy", "install", "rows", "scene", "segments", "views", "panel", "images", "frames")
    collect_ignore_glob = [f"test_{name}*.py" for name in NEEDING]


@pytest.fixture
def bare():
    """An empty scene with Slicer's logics."""
    from bare_slicer import BareSlicer

    return BareSlicer()
