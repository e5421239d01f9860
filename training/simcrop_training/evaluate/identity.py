"""What a run was trained with and measured on, kept beside its figures: those of something else are not shown."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcrop_core.errors import SimCroPError
from simcrop_core.export.atomic import replacing
from simcrop_core.models.checksum import sha256_of
from simcrop_training.data.sample import sample_paths
from simcrop_training.recipe import Recipe, identity_of

RUN = "run.json"


class AnotherRun(SimCroPError):
    """A folder holds a run of another recipe, seed, budget or training data."""

    code = "another-run"


def run_identity(recipe: Recipe, training: Path, held_out: Path) -> dict[str, Any]:
    """What decides what a run learns; the recipe is resolved, with its seed and its steps."""
    return {
        "recipe": identity_of(recipe),
        "training": samples_identity(training),
        "held out": samples_identity(held_out),
    }


def samples_identity(folder: Path) -> dict[str, Any]:
    """How many samples a folder has, and a hash of their names and checksums; no voxel is read."""
    digest, paths = hashlib.sha256(), sample_paths([folder])
    for path in paths:
        with zipfile.ZipFile(path) as stored:
            parts = [(part.filename, part.CRC, part.file_size) for part in stored.infolist()]
        digest.update(json.dumps([path.name, parts]).encode())
    return {"samples": len(paths), "sha256": digest.hexdigest()}


def weights_identity(folder: Path) -> dict[str, str]:
    """The hash of every weights file of a run, by name."""
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}


def require_run(folder: Path, identity: Mapping[str, Any]) -> None:
    """See that a folder holds no other run than that of this identity, and write the identity down.

    Raises:
        AnotherRun: it holds another run, or one that does not say what it is.
        CannotWrite: the folder is not writable.
    """
    path = folder / RUN
    if weights_identity(folder) or any((folder / "checkpoints").glob("step-*")):
        if not path.is_file():
            raise AnotherRun(
                f"{folder} holds a run that does not say what it was trained with.",
                hint=f"Give another --output, or remove that folder to train anew ({RUN} says it from then on).",
            )
        differing = differences(json.loads(path.read_text(encoding="utf-8")), identity)
        if differing:
            raise AnotherRun(
                f"{folder} holds another run: {'; '.join(differing)}.",
                hint="Give another --output, remove that folder to train anew, or ask for what it was trained with.",
            )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")


def differences(kept: Any, wanted: Any, name: str = "") -> list[str]:
    """What differs between two identities, in words: "schedule.steps was 600, is now 300"."""
    if isinstance(kept, Mapping) and isinstance(wanted, Mapping):
        if "sha256" in kept:
            return [] if kept == wanted else [f"{name}: {_samples(kept)}, now {_samples(wanted)}"]
        keys = dict.fromkeys([*kept, *wanted])
        inside = {key: f"{name}.{key}".removeprefix(".").removeprefix("recipe.") for key in keys}
        return [line for key in keys for line in differences(kept.get(key), wanted.get(key), inside[key])]
    return [] if kept == wanted else [f"{name} was {kept}, is now {wanted}"]


def _samples(identity: Mapping[str, Any]) -> str:
    return f"{identity['samples']} samples ({str(identity['sha256'])[:8]})"
