"""Makes `simcrop_core`'s torch-free client importable in Slicer, from beside the module or from the clone."""

from __future__ import annotations

import sys
from pathlib import Path

from SimCroPSlicerLib.install import engine_source


def add_engine_to_path(module_folder: Path) -> Path:
    """Put the engine's code on Slicer's path, last, so that it hides nothing.

    Args:
        module_folder: of SimCroPSlicer.py.

    Returns:
        The folder that holds `simcrop_core`.

    Raises:
        FileNotFoundError: the module was copied without its engine.
    """
    source = engine_source(module_folder)
    if str(source) not in sys.path:
        sys.path.append(str(source))
    return source
