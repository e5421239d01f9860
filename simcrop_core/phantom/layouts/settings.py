"""What one folder of phantoms is: the same for every scan in it, and written at its top."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simcrop_core import __version__
from simcrop_core.errors import CannotWrite
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.phantom.truth import Size, Style

LayoutName = Literal["ct-rate", "rad-chestct", "cc-ccii", "luna16", "btcv", "rexgrounding"]
Split = Literal["train", "valid"]

SETTINGS_FILE = "phantoms.json"
SETTINGS_SCHEMA = "simcrop.phantoms/1"
NOTICE = "SYNTHETIC: drawn by simcrop phantom; no patient was scanned"


@dataclass(frozen=True, slots=True)
class Settings:
    """What all phantoms of a folder share.

    Attributes:
        layout: the data set whose form is written.
        style: the generator.
        size: of the scans.
        valid_percent: how many of a hundred scans are held out.
        version: of the package; another one may draw the same seed otherwise.
    """

    layout: LayoutName
    style: Style = "a"
    size: Size = "frame"
    valid_percent: int = 10
    version: str = __version__

    def split(self, seed: int) -> Split:
        """Whether a seed is held out: evenly spread over the seeds, whichever of them a run draws."""
        return "valid" if self._held_out_before(seed + 1) > self._held_out_before(seed) else "train"

    def held_out_rank(self, seed: int) -> int:
        """How many seeds below this one are held out."""
        return self._held_out_before(seed)

    def _held_out_before(self, seed: int) -> int:
        return seed * self.valid_percent // 100


def claim_folder(folder: Path, settings: Settings) -> None:
    """Make the folder ours, or see that it is, so that phantoms are never mixed with a real data set or other phantoms.

    Raises:
        CannotWrite: it holds something else, or cannot be written.
    """
    path = folder / SETTINGS_FILE
    wanted = {"schema": SETTINGS_SCHEMA, "synthetic": True, "notice": NOTICE, **dataclasses.asdict(settings)}
    if not _anything_in(folder):
        write_json_file(path, wanted)
    elif not path.is_file():
        raise CannotWrite(
            f"{folder} is not empty, and what is in it was not made by `simcrop phantom`.",
            hint="Give a new folder: phantoms are never mixed with other data.",
        )
    elif (found := _settings_in(path)) != wanted:
        fields = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        differs = ", ".join(f"{name} is {found.get(name)}, not {wanted.get(name)}" for name in fields)
        raise CannotWrite(
            f"{folder} holds phantoms of another kind: {differs}.",
            hint="Give a new folder, or the options that the folder was made with.",
        )


def _anything_in(folder: Path) -> bool:
    """Hidden files do not count: desktops leave theirs, and so may a killed run."""
    return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())


def _settings_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise CannotWrite(f"{path} cannot be read: {fault}.", hint="Give a new folder.") from fault
    return found if isinstance(found, dict) else {}
