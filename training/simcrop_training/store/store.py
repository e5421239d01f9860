"""Read a training store: studies in a fixed order, crops, embeddings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import DamagedStore, UnknownWeights
from simcrop_core.models.config import TextConfig
from simcrop_core.progress import Job
from simcrop_training.data.anatomies import label_classes
from simcrop_training.data.organs import Organs
from simcrop_training.store.encoder_key import encoder_key, file_digest
from simcrop_training.store.files import (
    EMBEDDINGS,
    ORGANS,
    REPAIR,
    VOLUMES,
    Manifest,
    organs_path,
    read_manifest,
    shard_path,
    table_lines,
)
from simcrop_training.store.records import Section, Sentence, StoredOrgans, Study, Triple, Volume
from simcrop_training.store.shard import read_crop

_NAMED = 8
SECTIONS: tuple[Section, ...] = ("findings", "impression")


class Store:
    """A store that was opened; holds no file open and may be shared by threads and sent to processes.

    Attributes:
        folder: where it is.
        data_set: name of the data set it was made from.
        terms: under which it may be used.
        frame: of the model, that its scans are stored in.
        studies: by key.
        sentences: every text once; `Sentence.row` counts them.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, sentences: tuple[str, ...], studies: tuple[Study, ...]
    ) -> None:
        self.folder = folder
        self.data_set, self.terms, self.frame = manifest.data_set, manifest.terms, manifest.frame
        self.sentences, self.studies = sentences, studies
        self._manifest = manifest
        self._outside = round(manifest.frame.hu_window[0])

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a store and look whether everything it names is there in its full length.

        Content is not read but for the tables; `verify` does that.

        Raises:
            UnreadableFile: there is no finished store.
            DamagedStore: a table does not have its hash, or files are missing or cut off; they are named.
        """
        manifest = read_manifest(folder)
        sentences = tuple(json.loads(line) for line in table_lines(folder, manifest.sentences))
        known: dict[tuple[int, int], Sentence] = {}
        studies = tuple(_study_of(json.loads(line), sentences, known) for line in table_lines(folder, manifest.studies))
        store = cls(folder, manifest, sentences, studies)
        store._require_files()
        return store

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """All scans, in the order of their studies."""
        return tuple(volume for study in self.studies for volume in study.volumes)

    def crop(self, volume: Volume, start: Triple, shape: Triple | None = None) -> NDArray[np.int16]:
        """Cut a box out of a scan.

        Args:
            volume: of this store.
            start: the box's first voxel in `volume`; what reaches beyond what is stored is air.
            shape: of the box; the frame's unless given.

        Returns:
            int16 HU, clipped to the frame's window.

        Raises:
            DamagedStore: the scan's shard is missing or damaged.
        """
        path = shard_path(self.folder, volume.digest)
        crop: NDArray[np.int16] = read_crop(path, start, shape or self.frame.shape, outside=self._outside)
        return crop

    def organs(self, volume: Volume, start: Triple, shape: Triple | None = None) -> Organs | None:
        """The label map of the same box; None where the scan has none.

        Raises:
            DamagedStore: its file is missing or damaged.
        """
        if volume.organs is None:
            return None
        x, y, z = shape or self.frame.shape
        labels = read_crop(organs_path(self.folder, volume.organs.digest), start, (x, y, z), outside=0)
        first = [min(max(-s, 0), n) for s, n in zip(start, (x, y, z), strict=True)]
        end = [min(max(v - s, 0), n) for s, v, n in zip(start, volume.shape, (x, y, z), strict=True)]
        return Organs(labels, label_classes(), (first[0], first[1], first[2]), (end[0], end[1], end[2]))

    def embeddings(self, encoder: TextConfig | str) -> NDArray[np.float32]:
        """The sentences' embeddings, (rows, C) float32, mapped into memory read-only; not L2-normalised.

        Args:
            encoder: the text encoder, or its `encoder_key`.

        Raises:
            UnknownWeights: the store has none by this encoder, or there is no such encoder.
            DamagedStore: the file is damaged.
        """
        key = encoder if isinstance(encoder, str) else encoder_key(encoder)
        for entry in self._manifest.embeddings:
            if entry.encoder_key == key:
                path = self.folder / entry.table.file
                try:
                    rows: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
                except (OSError, ValueError) as fault:
                    raise DamagedStore(f"{entry.table.file} cannot be read: {fault}.", hint=REPAIR) from fault
                if rows.shape != (entry.table.rows, entry.dim) or rows.dtype != np.float32:
                    raise DamagedStore(f"{entry.table.file} holds {rows.shape} {rows.dtype}.", hint=REPAIR)
                return rows
        held = ", ".join(entry.encoder for entry in self._manifest.embeddings) or "none"
        raise UnknownWeights(
            f"The store {self.folder} has no embeddings by this text encoder (it has: {held}).",
            hint="Run simcrop-prepare again with --preset naming the preset that uses it: only embeddings are added.",
        )

    def verify(self, job: Job | None = None) -> None:
        """Read every file and compare its hash.

        Raises:
            DamagedStore: some differ; they are named.
            Cancelled: `job` was asked to stop.
        """
        job = job or Job()
        expected = {shard_path(self.folder, v.digest): v.digest for v in self.volumes}
        expected |= {organs_path(self.folder, o.digest): o.digest for o in self._label_maps()}
        expected |= {self.folder / e.table.file: e.table.sha256 for e in self._manifest.embeddings}
        damaged = []
        for done, (path, digest) in enumerate(sorted(expected.items())):
            job.step("Verifying", done, len(expected))
            if not path.is_file() or file_digest(path) != digest:
                damaged.append(path.relative_to(self.folder).as_posix())
        self._refuse(damaged, "do not have the hash they were stored with")

    def _require_files(self) -> None:
        expected = {f"{v.digest}.b2nd": v.stored_bytes for v in self.volumes}
        expected |= {f"{o.digest}.b2nd": o.stored_bytes for o in self._label_maps()}
        expected |= {Path(e.table.file).name: e.table.stored_bytes for e in self._manifest.embeddings}
        found = dict(_sizes(self.folder / EMBEDDINGS))
        for digits in sorted({o.digest[:2] for o in self._label_maps()}):
            found |= _sizes(self.folder / ORGANS / digits)
        for digits in sorted({v.digest[:2] for v in self.volumes}):
            found |= _sizes(self.folder / VOLUMES / digits)
        wrong = sorted(name for name, size in expected.items() if found.get(name) != size)
        self._refuse(wrong, "are missing or cut off")

    def _label_maps(self) -> list[StoredOrgans]:
        return [volume.organs for volume in self.volumes if volume.organs is not None]

    def _refuse(self, files: list[str], why: str) -> None:
        if files:
            named = ", ".join(files[:_NAMED]) + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
            raise DamagedStore(f"{len(files)} files of the store {self.folder} {why}: {named}.", hint=REPAIR)


def study_line(study: Study) -> dict[str, Any]:
    """A study as a line of the table: sentences as rows, all else plain JSON."""
    return {
        "key": study.key,
        "patient": study.patient,
        "split": study.split,
        "findings": study.findings,
        "impression": study.impression,
        "labels": study.labels,
        "sentences": [[SECTIONS.index(s.section), s.row] for s in study.sentences],
        "volumes": [
            [v.name, v.digest, v.shape, v.frame_start, v.affine, v.stored_bytes]
            + ([] if v.organs is None else [v.organs.digest, v.organs.stored_bytes])
            for v in study.volumes
        ],
    }


def _study_of(line: dict[str, Any], texts: tuple[str, ...], known: dict[tuple[int, int], Sentence]) -> Study:
    """The inverse of `study_line`; `known` lets studies share the sentences that recur."""
    sentences = []
    for section, row in line["sentences"]:
        if (section, row) not in known:
            known[section, row] = Sentence(texts[row], SECTIONS[section], row)
        sentences.append(known[section, row])
    volumes = tuple(
        Volume(
            name,
            digest,
            tuple(shape),
            tuple(start),
            tuple(map(tuple, affine)),
            stored_bytes,
            StoredOrgans(*organs) if organs else None,
        )
        for name, digest, shape, start, affine, stored_bytes, *organs in line["volumes"]
    )
    labels = None if line["labels"] is None else tuple(line["labels"])
    return Study(
        key=line["key"],
        patient=line["patient"],
        split=line["split"],
        volumes=volumes,
        sentences=tuple(sentences),
        findings=line["findings"],
        impression=line["impression"],
        labels=labels,
    )


def _sizes(folder: Path) -> Iterable[tuple[str, int]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [(entry.name, entry.stat().st_size) for entry in entries if entry.is_file()]
