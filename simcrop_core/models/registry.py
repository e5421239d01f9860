"""Where weights are: the packaged ones, the user's own by name, and any folder or file by its path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

import simcrop_core
from simcrop_core.errors import UnknownWeights
from simcrop_core.models.weights_metadata import read_metadata

STARTER = "starter"
GROUNDING_FILE = "grounding.safetensors"
SEGMENTATION_FILE = "segmentation.safetensors"
ENCODER_FILE = "encoder.safetensors"
TEXT_FOLDER = "text"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_LONGEST_NAME = 64
# Windows opens a device for a file of this name, whatever stands behind a dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WeightsFolder:
    """One set of weights: the files it has.

    Attributes:
        name: under which it is listed, or of its folder or file.
        grounding: weights file of the grounding model.
        segmentation: weights file of the segmentation model.
        text: Hugging Face folder of the sentence encoder, where the set brings its own.
        encoder: weights file of an image encoder alone, to be probed or trained on.
    """

    name: str
    grounding: Path | None
    segmentation: Path | None
    text: Path | None
    encoder: Path | None = None


def weights_home() -> Path:
    """The folder of the user's own weights: under SIMCROP_HOME if that is set, else the platform's data folder."""
    home = os.environ.get("SIMCROP_HOME") or platformdirs.user_data_dir("simcrop", appauthor=False)
    return Path(home) / "weights"


def is_weights_name(name: str) -> bool:
    """Whether a set of weights may have this name on every platform: letters, digits, dot, dash, underscore."""
    return len(name) <= _LONGEST_NAME and bool(_NAME.fullmatch(name)) and not _DEVICES.fullmatch(name)


def resolve_weights(name_or_path: str | Path) -> WeightsFolder:
    """Find a set of weights.

    Args:
        name_or_path: `starter` (packaged), the name of an imported set, a folder, or one weights file. A name goes
            before a folder of the same name in the current directory; `./name` means the folder.

    Raises:
        UnknownWeights: nothing there, or a folder without weights in it.
        IncompatibleWeights: a single file that this version does not know.
    """
    if isinstance(name_or_path, str) and is_weights_name(name_or_path) and name_or_path in (named := _named()):
        return named[name_or_path]
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return _single(path)
    if path.is_dir() and (folder := _folder(path.resolve().name, path)):
        return folder
    raise UnknownWeights(
        f"No weights are called {name_or_path}, and it is no folder or file of weights.",
        hint=f"There are: {', '.join(_named()) or 'none'}. `simcrop weights import` adds others.",
    )


def list_weights() -> list[WeightsFolder]:
    """Every set that has a name: the packaged one first, then the user's own in alphabetical order."""
    return list(_named().values())


def _named() -> dict[str, WeightsFolder]:
    home = weights_home()
    own = sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
    places = {STARTER: Path(simcrop_core.__file__).parent / STARTER}
    places |= {path.name: path for path in own if is_weights_name(path.name) and path.name != STARTER}
    return {name: folder for name, path in places.items() if (folder := _folder(name, path))}


def _folder(name: str, path: Path) -> WeightsFolder | None:
    grounding, segmentation, text = path / GROUNDING_FILE, path / SEGMENTATION_FILE, path / TEXT_FOLDER
    encoder = path / ENCODER_FILE
    folder = WeightsFolder(
        name,
        grounding if grounding.is_file() else None,
        segmentation if segmentation.is_file() else None,
        text if text.is_dir() else None,
        encoder if encoder.is_file() else None,
    )
    return folder if folder.grounding or folder.segmentation or folder.text or folder.encoder else None


def _single(path: Path) -> WeightsFolder:
    """One file, with the sentence encoder that lies beside it."""
    metadata = read_metadata(path)
    beside = path.parent / TEXT_FOLDER
    return WeightsFolder(
        metadata.name,
        path if metadata.kind == "grounding" else None,
        path if metadata.kind == "segmentation" else None,
        beside if beside.is_dir() else None,
        path if metadata.kind in ("encoder", "m3d") else None,
    )
