"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional

CT = Annotated[Path, Positional]
Flag = FlagCreatePairsOff[bool]
