"""The files of a store that a run writes: claim, tables, terms, manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simcrop_core.errors import CannotWrite
from simcrop_core.export.atomic import replacing
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_training.prepare.volume import Settings
from simcrop_training.store.files import (
    CLAIM,
    EMBEDDINGS,
    GROUNDING,
    MANIFEST,
    ORGANS,
    README,
    RECORDS,
    SCHEMA,
    TABLES,
    VOLUMES,
    Manifest,
    Table,
)

# No scan takes as long to write: what is older was left by a run that was killed.
_ABANDONED_S = 3600.0
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}(\..+)?")


def claim_store(folder: Path, data_set: str, settings: Settings) -> None:
    """Make the folder the store of one data set, or see that it is, so that two are never mixed.

    Raises:
        CannotWrite: it holds something else, or cannot be written.
    """
    path = folder / CLAIM
    wanted = json.loads(json.dumps({"schema": SCHEMA, "data_set": data_set, **dataclasses.asdict(settings)}))
    if not folder.is_dir() or not any(not entry.name.startswith(".") for entry in folder.iterdir()):
        write_json_file(path, wanted)
        return
    if not path.is_file():
        raise CannotWrite(
            f"{folder} is not empty and no training store.", hint="Give a new folder: a store is kept apart."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise CannotWrite(f"{path} cannot be read: {fault}.", hint="Give a new folder.") from fault
    if found != wanted:
        raise CannotWrite(
            f"{folder} is the store of {found.get('data_set')}, with other settings or of another data set.",
            hint="Give a new folder, or the data set and the options that it was made with.",
        )


def write_table(folder: Path, name: str, lines: Iterable[Any]) -> Table:
    """Write JSON lines into a file named by its content.

    Raises:
        CannotWrite: the file cannot be written.
    """
    written = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines]
    content = "".join(f"{line}\n" for line in written).encode()
    path, digest = named_by_content(folder / TABLES, name, ".jsonl", content)
    return Table(path.relative_to(folder).as_posix(), digest, len(content), len(written))


def named_by_content(folder: Path, name: str, suffix: str, content: bytes) -> tuple[Path, str]:
    """Write a file as `<name>-<start of its sha256><suffix>`; returns it and its whole sha256.

    A reader of the old one is not disturbed.

    Raises:
        CannotWrite: the file cannot be written.
    """
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{name}-{digest[:12]}{suffix}"
    if not path.is_file() or path.stat().st_size != len(content):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path, digest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the terms, then the manifest, the last file; tables that it does not name are deleted.

    Raises:
        CannotWrite: a file cannot be written.
    """
    with replacing(folder / README) as temporary:
        temporary.write_text(_readme(manifest), encoding="utf-8", newline="\n")
    write_json_file(folder / MANIFEST, {"schema": SCHEMA, **dataclasses.asdict(manifest)})
    named = {manifest.studies.file, manifest.sentences.file, *(entry.table.file for entry in manifest.embeddings)}
    for path in [*(folder / TABLES).glob("*.jsonl"), *(folder / EMBEDDINGS).glob("*.npy")]:
        if path.relative_to(folder).as_posix() not in named:
            # Windows keeps a file that a training run has mapped; the next run deletes it.
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Delete what a killed run was writing."""
    for part in (VOLUMES, ORGANS, RECORDS, TABLES, EMBEDDINGS, GROUNDING):
        for path in [p for p in (folder / part).rglob(".*") if _TEMPORARY.fullmatch(p.name)]:
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink(missing_ok=True)


def _readme(manifest: Manifest) -> str:
    spacing = " × ".join(f"{edge:g}" for edge in manifest.frame.spacing_mm)
    low, high = manifest.frame.hu_window
    return f"""# Training store of {manifest.data_set}

Made by `simcrop-prepare` from {manifest.data_set}. It holds that data set's scans ({spacing} mm, int16 HU clipped to
{low:g} … {high:g}) and the text of its reports, and inherits its terms:

> {manifest.terms.replace(chr(10), chr(10) + "> ")}

{manifest.studies.rows} studies, {manifest.sentences.rows} different sentences. Read it with
`simcrop_training.store.store.Store.open`; docs/training-data.md of SimCroP for Slicer describes the files.
"""
