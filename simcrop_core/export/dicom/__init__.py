"""Results as DICOM objects that refer to the series they were made from (extra `dicom`)."""

from __future__ import annotations

import importlib.util

from simcrop_core.errors import MissingDependency


def require_highdicom() -> None:
    """Say what is missing before any work is done.

    Raises:
        MissingDependency: highdicom is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise MissingDependency(
            "The package highdicom is needed to write DICOM and is not installed.", hint="pip install 'simcrop[dicom]'"
        )
