"""The checksums kept beside a set of weights, in the form that `sha256sum --check` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from simcrop_core.errors import CannotWrite, IncompatibleWeights
from simcrop_core.models.checksum import read_sha256

MANIFEST_FILE = "SHA256SUMS"


def checksums_of(folder: Path) -> dict[str, str]:
    """The sha256 of every file under the folder, by its path in it with forward slashes; the manifest left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return {path.relative_to(folder).as_posix(): read_sha256(path) for path in files}


def write_manifest(folder: Path, checksums: Mapping[str, str]) -> None:
    """Record checksums.

    Raises:
        CannotWrite: the folder is not writable.
    """
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(checksums.items()))
    temporary = folder / f".{MANIFEST_FILE}"
    try:
        temporary.write_text(lines, encoding="utf-8", newline="\n")
        temporary.replace(folder / MANIFEST_FILE)
    except OSError as fault:
        temporary.unlink(missing_ok=True)
        raise CannotWrite(f"{folder / MANIFEST_FILE} could not be written: {fault}.") from fault


def read_manifest(folder: Path) -> dict[str, str]:
    """The recorded checksums by path in the folder; empty where none were recorded.

    Raises:
        IncompatibleWeights: the file is not a list of checksums.
    """
    file = folder / MANIFEST_FILE
    if not file.is_file():
        return {}
    try:
        pairs = [line.split("  ", 1) for line in file.read_text(encoding="utf-8").splitlines()]
        return {name: digest for digest, name in pairs}
    except ValueError as fault:
        raise IncompatibleWeights(
            f"{file} is not a list of checksums.", hint="Delete it, or import the weights again."
        ) from fault
