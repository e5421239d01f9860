"""Makes `simcrop_core`'s torch-free client importable in Slicer, from beside the module or from the clone."""

from __future__ import annotations

import sys
from pathlib import Path


def engine_source(module_folder: Path) -> Path:
    """The folder that holds `simcrop_core`: beside the installed module, or above it in a clone.

    Args:
        module_folder: of SimCroPSlicer.py.

    Raises:
        FileNotFoundError: the module was copied without its engine.
    """
    for folder in (module_folder, module_folder.parent):
        if (folder / "simcrop_core" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError(f"simcrop_core is neither in {module_folder} nor beside it")


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
