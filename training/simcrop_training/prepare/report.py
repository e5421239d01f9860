"""What a run of `simcrop-prepare` did."""

from __future__ import annotations

from dataclasses import dataclass, field

PREPARE_SCHEMA = "simcrop.prepare/1"


@dataclass(frozen=True, slots=True)
class ScanNote:
    """A scan and what is to be said of it.

    Attributes:
        name: the data set's.
        code: of an error, a passport finding, or an exclusion (docs/training-data.md).
        message: plain words.
    """

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class EmbeddingNote:
    """Embeddings in the store: of which encoder, how many, how wide."""

    encoder: str
    encoder_key: str
    rows: int
    dim: int


@dataclass(frozen=True, slots=True)
class ReadingNote:
    """How fast samples come, one thread, warm.

    Attributes:
        crops: cut out of the store at random places.
        crops_per_s: by the clock.
        crops_per_core_s: by processor time, which other programs on the machine do not change.
        gigabytes_per_s: of decoded voxels, by the clock.
        files: of the data set, read, checked and resampled.
        files_per_s: by the clock.
        files_per_core_s: by processor time.
        times_faster: a crop than a file, by processor time.
    """

    crops: int
    crops_per_s: float
    crops_per_core_s: float
    gigabytes_per_s: float
    files: int
    files_per_s: float
    files_per_core_s: float
    times_faster: float


@dataclass(frozen=True, slots=True)
class PruneNote:
    """What was deleted of scans that the store no longer holds.

    Attributes:
        files: how many.
        freed_bytes: of them together.
    """

    files: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What a store holds after a run, and what the run did.

    Attributes:
        folder: of the store.
        data_set: its name.
        terms: the data set's, which the store inherits.
        scans: held by the store.
        prepared: of these, by this run.
        skipped: of these, by earlier runs.
        studies: held, by split.
        patients: held.
        sentences: of all reports.
        different_sentences: each once.
        embeddings: by encoder.
        stored_bytes: of all scans.
        repaired: scans that were repaired, and how; they are held.
        warned: scans that were not beyond doubt; they are held.
        excluded: scans that are not held, and why.
        remarks: on the data set.
        seconds: of this run.
        reading: how fast it is read; None unless measured.
        pruned: what was deleted; None unless asked for.
    """

    folder: str
    data_set: str
    terms: str
    scans: int
    prepared: int
    skipped: int
    studies: dict[str, int]
    patients: int
    sentences: int
    different_sentences: int
    embeddings: list[EmbeddingNote]
    stored_bytes: int
    repaired: list[ScanNote]
    warned: list[ScanNote]
    excluded: list[ScanNote]
    remarks: list[str]
    seconds: float
    reading: ReadingNote | None = None
    pruned: PruneNote | None = None
    schema: str = field(default=PREPARE_SCHEMA)
