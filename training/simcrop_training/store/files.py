"""Where a training store keeps what.

The folder:

    manifest.json                    what belongs together; replaced last, so that a store is always whole
    README.md                        what this is, and the terms it is under
    report.json                      what the last run did: done, repaired, excluded and why
    store.json                       the data set and the settings, written first
    lock                             held by the run that is at work
    tables/studies-<hash>.jsonl      one study a line, in the order of their keys
    tables/sentences-<hash>.jsonl    every sentence once; its line is its row
    embeddings/<encoder>-<hash>.npy  (rows, C) float32
    volumes/3f/3fa9….b2nd            a scan, named by its sha256
    organs/3f/3fa9….b2nd             a scan's label map, named by its sha256
    grounding/train/<scan>.npz       a scan with outlined findings, as `simcrop-train` reads samples
    records/3f/3fa9….json            what became of a scan of the data set, written after its shard
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop_core.errors import DamagedStore, UnreadableFile
from simcrop_core.imaging.frame_config import FrameConfig

SCHEMA = "simcrop.store/1"
MANIFEST, CLAIM, README, REPORT, LOCK = "manifest.json", "store.json", "README.md", "report.json", "lock"
REPAIR = "Run simcrop-prepare again with the same arguments: what is missing or damaged is made anew."
TABLES, EMBEDDINGS, VOLUMES, RECORDS, GROUNDING = "tables", "embeddings", "volumes", "records", "grounding"
ORGANS, PARTS = "organs", "parts"


@dataclass(frozen=True, slots=True)
class Table:
    """A file that the manifest names.

    Attributes:
        file: relative to the store, with "/".
        sha256: of its bytes.
        stored_bytes: how many.
        rows: lines or vectors.
    """

    file: str
    sha256: str
    stored_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """The embeddings of all sentences by one text encoder.

    Attributes:
        encoder_key: see `simcrop_training.store.encoder_key`.
        encoder: its name, for people.
        dim: width.
        table: the file.
    """

    encoder_key: str
    encoder: str
    dim: int
    table: Table


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store holds.

    Attributes:
        data_set: its name.
        terms: under which it may be used.
        frame: of the model, that the scans are stored in.
        studies: the table of them.
        sentences: the table of them.
        embeddings: by encoder.
    """

    data_set: str
    terms: str
    frame: FrameConfig
    studies: Table
    sentences: Table
    embeddings: tuple[EmbeddingTable, ...]


def shard_path(folder: Path, digest: str) -> Path:
    """Where a scan is."""
    return folder / VOLUMES / digest[:2] / f"{digest}.b2nd"


def organs_path(folder: Path, digest: str) -> Path:
    """Where a label map is."""
    return folder / ORGANS / digest[:2] / f"{digest}.b2nd"


def sample_path(folder: Path, split: str, name: str) -> Path:
    """Where a scan with outlined findings is."""
    return folder / GROUNDING / split / f"{name}.npz"


def record_path(folder: Path, name: str) -> Path:
    """Where the record of a scan of the data set is."""
    key = hashlib.sha256(name.encode()).hexdigest()[:32]
    return folder / RECORDS / key[:2] / f"{key}.json"


def read_manifest(folder: Path) -> Manifest:
    """What a store holds.

    Raises:
        UnreadableFile: there is no store, or only an unfinished one.
        DamagedStore: the manifest is damaged, or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UnreadableFile(
            f"{folder} is no finished training store: it has no {MANIFEST}.",
            hint="Make it with `simcrop-prepare SRC STORE`; the same command goes on where it stopped.",
        )
    try:
        return _manifest_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise DamagedStore(
            f"{path} is not the manifest of a store of this version: {fault!r}.",
            hint="Run simcrop-prepare again with the same arguments: it is written anew.",
        ) from fault


def table_lines(folder: Path, table: Table) -> list[str]:
    """The lines of a table.

    Raises:
        DamagedStore: it is missing, or does not have its hash.
    """
    path = folder / table.file
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise DamagedStore(f"{table.file} of the store {folder} cannot be read: {fault}.", hint=REPAIR) from fault
    if hashlib.sha256(content).hexdigest() != table.sha256:
        raise DamagedStore(f"{table.file} of the store {folder} does not have its hash.", hint=REPAIR)
    # Not splitlines(): a report may hold other line ends than the table's own.
    return content.decode("utf-8").split("\n")[:-1]


def _manifest_of(stored: dict[str, Any]) -> Manifest:
    if stored["schema"] != SCHEMA:
        raise ValueError(f"its schema is {stored['schema']}")
    frame: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored["frame"].items()
    }
    embeddings = (EmbeddingTable(**entry | {"table": Table(**entry["table"])}) for entry in stored["embeddings"])
    return Manifest(
        data_set=stored["data_set"],
        terms=stored["terms"],
        frame=FrameConfig(**frame),
        studies=Table(**stored["studies"]),
        sentences=Table(**stored["sentences"]),
        embeddings=tuple(embeddings),
    )
