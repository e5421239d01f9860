"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional

CT = Annotated[Path, Positional]
Flag = FlagCreatePairsOff[bool]

_FORMAT = re.compile(r"\.(nii|nii\.gz|nrrd|nhdr|mha|mhd|zip|dcm)$", re.IGNORECASE)


def results_folder(scan: str) -> Path:
    """Where results of a scan of this name go unless another folder is given: a name every file system takes."""
    return Path("simcrop-results") / (re.sub(r"[^\w.-]+", "-", _FORMAT.sub("", scan)).strip("-.") or "scan")
