"""Options that several commands share."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional

CT = Annotated[Path, Positional]
Flag = FlagCreatePairsOff[bool]

_FORMAT = re.compile(r"\.(nii|nii\.gz|nrrd|nhdr|mha|mhd|zip|dcm)$", re.IGNORECASE)


def results_folder(scan: Path) -> Path:
    """Where results of a scan go unless another folder is given.

    Named after the scan, in a name that every file system takes, and its place, so that two patients' `ct.nii.gz`
    never share a folder.
    """
    place = scan.resolve()
    name = re.sub(r"[^\w.-]+", "-", _FORMAT.sub("", place.name)).strip("-.") or "scan"
    return Path("simcrop-results") / f"{name}-{hashlib.sha256(str(place).encode()).hexdigest()[:6]}"
