"""A data set into a training store; the same call goes on where it was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from simcrop_core.models.config import TextConfig
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.progress import Job
from simcrop_core.results import Outcome, as_json
from simcrop_training.datasets.study import DataSet, SourceStudy, SourceVolume
from simcrop_training.prepare.embed import embed_sentences, other_embeddings
from simcrop_training.prepare.files import claim_store, remove_abandoned, write_manifest, write_table
from simcrop_training.prepare.lock import locked
from simcrop_training.prepare.prune import prune_store
from simcrop_training.prepare.record import Record, read_record
from simcrop_training.prepare.report import EmbeddingNote, PrepareReport, ScanNote
from simcrop_training.prepare.sentences import SentenceTable, sentence_table
from simcrop_training.prepare.volume import Settings
from simcrop_training.store.encoder_key import file_digest
from simcrop_training.store.files import REPORT, Manifest, organs_path, shard_path
from simcrop_training.store.records import Sentence, Study, Volume
from simcrop_training.store.store import study_line

STAGE = "Preparing scans"


class Machines(Protocol):
    """Whatever stores scans: the processes of one machine, or a cluster."""

    def __call__(self, folder: Path, sources: Sequence[SourceVolume], settings: Settings, /) -> Generator[Record]:
        """Records in any order, one a scan."""


def prepare(
    data: DataSet,
    folder: Path,
    settings: Settings,
    machines: Machines,
    *,
    encoders: Sequence[TextConfig] = (),
    verify: bool = False,
    prune: bool = False,
    job: Job | None = None,
) -> PrepareReport:
    """Store what is missing of a data set, then write the tables, the embeddings and last the manifest.

    Args:
        data: the data set.
        folder: of the store: new, or made from the same data set with the same settings.
        settings: what is stored of a scan.
        machines: that do the work.
        encoders: whose embeddings of all sentences are stored.
        verify: read every shard again, and make anew what is damaged.
        prune: delete, in the end, what the store keeps of scans that it no longer holds.
        job: told of every scan.

    Returns:
        What the store holds now; written into it as well.

    Raises:
        CannotWrite: the folder is something else, another run is at work on it, or there is no room.
        OutOfMemory: a process was ended by the system.
        UnknownWeights: no such text encoder.
        Cancelled: `job` was asked to stop; what was stored stays.
    """
    job = job or Job()
    claim_store(folder, data.name, settings)
    with locked(folder):
        report = _prepare(data, folder, settings, machines, encoders, job, verify=verify)
        if prune:
            sources = [volume for study in data.studies for volume in study.volumes]
            report = dataclasses.replace(report, pruned=prune_store(folder, sources, job))
        write_json_file(folder / REPORT, as_json(report))
    return report


def _prepare(
    data: DataSet,
    folder: Path,
    settings: Settings,
    machines: Machines,
    encoders: Sequence[TextConfig],
    job: Job,
    *,
    verify: bool,
) -> PrepareReport:
    began = time.perf_counter()
    remove_abandoned(folder)
    sources = [volume for study in data.studies for volume in study.volumes]
    records = _present(folder, sources, settings, verify=verify, job=job)
    missing = [source for source in sources if source.name not in records]
    job.step(STAGE, 0, len(missing))
    # Closed here and now, so that a stop does not leave processes at work.
    with contextlib.closing(machines(folder, missing, settings)) as stored:
        for done, record in enumerate(stored, start=1):
            records[record.name] = record
            job.step(STAGE, done, len(missing))
    held = [study for study in data.studies if _volumes(study, records)]
    sentences = sentence_table(held)
    studies = [_stored_study(study, _volumes(study, records), sentences.by_study[study.key]) for study in held]
    manifest = _write_tables(folder, data, settings, studies, sentences, encoders, job)
    prepared = sum(records[source.name].volume is not None for source in missing)
    return _report(
        folder, data, studies, sentences, manifest, records, prepared=prepared, seconds=time.perf_counter() - began
    )


def _present(
    folder: Path, sources: Sequence[SourceVolume], settings: Settings, *, verify: bool, job: Job
) -> dict[str, Record]:
    """Records of scans that need no more work; a shard that does not have its hash is deleted and does."""
    present: dict[str, Record] = {}
    for done, source in enumerate(sources):
        job.step("Looking what is there", done, len(sources))
        record = read_record(folder, source, settings)
        if record is None:
            continue
        if verify and record.volume is not None and _damaged(folder, record.volume):
            continue
        present[source.name] = record
    return present


def _damaged(folder: Path, volume: Volume) -> bool:
    """Whether a file of a scan does not have its hash; such a file is deleted."""
    expected = {shard_path(folder, volume.digest): volume.digest}
    if volume.organs is not None:
        expected[organs_path(folder, volume.organs.digest)] = volume.organs.digest
    damaged = [path for path, digest in expected.items() if file_digest(path) != digest]
    for path in damaged:
        path.unlink()
    return bool(damaged)


def _volumes(study: SourceStudy, records: dict[str, Record]) -> tuple[Volume, ...]:
    found = (records[volume.name].volume for volume in study.volumes)
    return tuple(volume for volume in found if volume is not None)


def _stored_study(study: SourceStudy, volumes: tuple[Volume, ...], sentences: tuple[Sentence, ...]) -> Study:
    return Study(
        key=study.key,
        patient=study.patient,
        split=study.split,
        volumes=volumes,
        sentences=sentences,
        findings=study.findings,
        impression=study.impression,
        labels=study.labels,
    )


def _write_tables(
    folder: Path,
    data: DataSet,
    settings: Settings,
    studies: Sequence[Study],
    sentences: SentenceTable,
    encoders: Sequence[TextConfig],
    job: Job,
) -> Manifest:
    texts = write_table(folder, "sentences", sentences.texts)
    embedded = tuple(embed_sentences(folder, sentences.texts, encoder, job) for encoder in encoders)
    manifest = Manifest(
        data_set=data.name,
        terms=data.terms,
        frame=settings.frame,
        studies=write_table(folder, "studies", map(study_line, studies)),
        sentences=texts,
        embeddings=(*embedded, *other_embeddings(folder, texts, embedded)),
    )
    write_manifest(folder, manifest)
    return manifest


def _report(
    folder: Path,
    data: DataSet,
    studies: Sequence[Study],
    sentences: SentenceTable,
    manifest: Manifest,
    records: dict[str, Record],
    *,
    prepared: int,
    seconds: float,
) -> PrepareReport:
    volumes = [volume for study in studies for volume in study.volumes]
    refused = [ScanNote(r.name, *r.refusal) for _, r in sorted(records.items()) if r.refusal is not None]
    return PrepareReport(
        folder=str(folder),
        data_set=data.name,
        terms=data.terms,
        scans=len(volumes),
        prepared=prepared,
        skipped=len(volumes) - prepared,
        studies=dict(sorted(Counter(study.split for study in studies).items())),
        patients=len({study.patient for study in studies}),
        sentences=sentences.spoken,
        different_sentences=len(sentences.texts),
        embeddings=[EmbeddingNote(e.encoder, e.encoder_key, e.table.rows, e.dim) for e in manifest.embeddings],
        stored_bytes=sum(_sizes(volumes).values()),
        repaired=_notes(records, "repaired"),
        warned=_notes(records, "warned"),
        excluded=[*(ScanNote(s.name, s.code, s.reason) for s in data.left_out), *refused],
        remarks=list(data.remarks),
        seconds=round(seconds, 2),
    )


def _sizes(volumes: Sequence[Volume]) -> dict[str, int]:
    """Bytes of every file of some scans, by its hash: the same scan, or a label map of nothing, is stored once."""
    maps = (volume.organs for volume in volumes if volume.organs is not None)
    return {v.digest: v.stored_bytes for v in volumes} | {m.digest: m.stored_bytes for m in maps}


def _notes(records: dict[str, Record], outcome: Outcome) -> list[ScanNote]:
    return [
        ScanNote(name, finding.code, finding.message)
        for name, record in sorted(records.items())
        for finding in record.findings
        if finding.outcome == outcome
    ]
