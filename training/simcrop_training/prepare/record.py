"""What became of one scan, as a file: written after its shard, so that a record means that the work is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop_core.errors import SimCroPError
from simcrop_core.export.atomic import replacing
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.results import PassportFinding
from simcrop_training.data.sample import Sample, save_sample
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.prepare.volume import VERSION, Settings, prepare_volume
from simcrop_training.store.files import organs_path, record_path, sample_path, shard_path
from simcrop_training.store.records import StoredOrgans, Volume

RECORD_SCHEMA = "simcrop.store-record/1"
# Refusals that may be the machine's fault, not the scan's: tried again in the next run.
_PASSING = ("out-of-memory", "unreadable-file")


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one scan.

    Attributes:
        name: the data set's.
        made_from: a hash of the file's size and time, of what the tables say of it, and of the settings.
        volume: what is stored; None where it was refused.
        refusal: code and message where it was.
        findings: codes and messages of what was repaired or warned of.
    """

    name: str
    made_from: str
    volume: Volume | None
    refusal: tuple[str, str] | None
    findings: tuple[PassportFinding, ...]


def store_volume(folder: Path, source: SourceVolume, settings: Settings) -> Record:
    """Prepare one scan and store it; where that was done before, from the same file, nothing is done.

    Two that store the same scan at the same time write the same bytes under the same name.

    Raises:
        CannotWrite: no room or no rights in the store.
    """
    done = read_record(folder, source, settings)
    if done is not None:
        return done
    made_from = fingerprint(source, settings)
    try:
        prepared = prepare_volume(source, settings)
    except SimCroPError as fault:
        record = Record(source.name, made_from, None, (fault.code, fault.message), ())
    else:
        shard = shard_path(folder, prepared.volume.digest)
        _write_whole(shard, prepared.shard)
        if prepared.organs is not None and prepared.volume.organs is not None:
            _write_whole(organs_path(folder, prepared.volume.organs.digest), prepared.organs)
        if prepared.sample is not None and source.masks is not None:
            _write_sample(sample_path(folder, source.masks.split, source.name), prepared.sample)
        told = tuple(f for f in prepared.findings if f.outcome != "pass")
        record = Record(source.name, made_from, prepared.volume, None, told)
    write_json_file(record_path(folder, source.name), record_fields(record))
    return record


def _write_whole(path: Path, content: bytes) -> None:
    if not path.is_file() or path.stat().st_size != len(content):
        with replacing(path) as temporary:
            temporary.write_bytes(content)


def _write_sample(path: Path, sample: Sample) -> None:
    with replacing(path) as temporary:
        save_sample(temporary, sample)


def read_record(folder: Path, source: SourceVolume, settings: Settings) -> Record | None:
    """The record of a scan; None where it is to be prepared: new, changed, or its shard is not whole."""
    path = record_path(folder, source.name)
    if not path.is_file():
        return None
    try:
        record = record_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged, or of an older version: the scan is prepared again
    if record.name != source.name or record.made_from != fingerprint(source, settings):
        return None
    if record.refusal is not None and record.refusal[0] in _PASSING:
        return None
    if record.volume is not None:
        shard = shard_path(folder, record.volume.digest)
        if not shard.is_file() or shard.stat().st_size != record.volume.stored_bytes:
            return None
        organs = record.volume.organs
        if organs is not None:
            labels = organs_path(folder, organs.digest)
            if not labels.is_file() or labels.stat().st_size != organs.stored_bytes:
                return None
        if source.masks is not None and not sample_path(folder, source.masks.split, source.name).is_file():
            return None
    return record


def fingerprint(source: SourceVolume, settings: Settings) -> str:
    """Changes when the file, what the tables say of it, the settings or the way of preparing do."""
    path = source.path
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if source.masks is not None:
        files.append(source.masks.path)
    if source.organs is not None:
        files.append(source.organs)
    stamps = [_stamp(file) for file in files]
    stated = dataclasses.asdict(dataclasses.replace(source, path=Path()))
    if source.organs is None:
        del stated["organs"]  # so that stores from before there were label maps need not be made anew
    facts = [VERSION, stamps, stated, dataclasses.asdict(settings)]
    said = json.dumps(facts, sort_keys=True, default=lambda path: path.name)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _stamp(file: Path) -> tuple[int, int] | None:
    """Size and time; None of a file that went away since the tables were read, which reading will say by name."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def record_fields(record: Record) -> dict[str, Any]:
    """A record as plain JSON types."""
    return {"schema": RECORD_SCHEMA, **dataclasses.asdict(record)}


def record_of(stored: dict[str, Any]) -> Record:
    """The inverse of `record_fields`.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    if stored["schema"] != RECORD_SCHEMA:
        raise ValueError(f"its schema is {stored['schema']}")
    volume = stored["volume"]
    return Record(
        name=stored["name"],
        made_from=stored["made_from"],
        volume=None if volume is None else _volume_of(volume),
        refusal=None if stored["refusal"] is None else (stored["refusal"][0], stored["refusal"][1]),
        findings=tuple(PassportFinding(**finding) for finding in stored["findings"]),
    )


def _volume_of(stored: dict[str, Any]) -> Volume:
    tuples = {name: tuple(stored[name]) for name in ("shape", "frame_start")}
    organs = stored.get("organs")
    nested = {"affine": tuple(map(tuple, stored["affine"])), "organs": organs and StoredOrgans(**organs)}
    return Volume(**stored | tuples | nested)
