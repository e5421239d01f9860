"""The embedding of every sentence, computed once an encoder and kept in the store."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import DamagedStore, UnreadableFile
from simcrop_core.export.atomic import replacing
from simcrop_core.models.config import TextConfig
from simcrop_core.progress import Job
from simcrop_core.text.encoder import load_text_encoder
from simcrop_training.prepare.files import named_by_content
from simcrop_training.store.encoder_key import encoder_key
from simcrop_training.store.files import EMBEDDINGS, PARTS, EmbeddingTable, Table, read_manifest, table_lines

# So many sentences are at stake when a run is stopped.
_BLOCK = 4096


def embed_sentences(folder: Path, texts: Sequence[str], config: TextConfig, job: Job) -> EmbeddingTable:
    """Write the embeddings of all sentences by one encoder; those that the store has are not computed again.

    Args:
        folder: of the store.
        texts: in the order of their rows.
        config: the encoder.
        job: told of the sentences.

    Raises:
        UnknownWeights: no such encoder.
        DownloadFailed: the Hub is out of reach and the encoder is not in the cache.
        IncompatibleWeights: the encoder's files are not whole, or not as wide as `config` says.
        CannotWrite: no room or no rights in the store.
        Cancelled: `job` was asked to stop; blocks that are done are kept for the next run.
    """
    key = encoder_key(config)
    known = _known(folder, key)
    new = [text for text in texts if text not in known]
    computed, parts = _computed(folder, key, new, config, job)
    rows = np.empty((len(texts), config.dim), dtype=np.float32)
    fresh = dict(zip(new, computed, strict=True))
    for index, text in enumerate(texts):
        rows[index] = fresh[text] if text in fresh else known[text]
    path, digest = named_by_content(folder / EMBEDDINGS, key, ".npy", _as_npy(rows))
    for part in parts:
        part.unlink(missing_ok=True)
    table = Table(path.relative_to(folder).as_posix(), digest, path.stat().st_size, len(texts))
    return EmbeddingTable(key, config.encoder, config.dim, table)


def other_embeddings(folder: Path, sentences: Table, embedded: Sequence[EmbeddingTable]) -> list[EmbeddingTable]:
    """What earlier runs of this store embedded by other encoders, where the sentences are still the same."""
    try:
        manifest = read_manifest(folder)
    except (UnreadableFile, DamagedStore):
        return []
    keys = {entry.encoder_key for entry in embedded}
    same = manifest.sentences.sha256 == sentences.sha256
    return [entry for entry in manifest.embeddings if same and entry.encoder_key not in keys]


def _known(folder: Path, key: str) -> Mapping[str, NDArray[np.float32]]:
    """What an earlier run of this store computed, by text; nothing where there was none or it is damaged."""
    try:
        manifest = read_manifest(folder)
        texts = [json.loads(line) for line in table_lines(folder, manifest.sentences)]
        path = next(folder / entry.table.file for entry in manifest.embeddings if entry.encoder_key == key)
        return dict(zip(texts, np.load(path, mmap_mode="r", allow_pickle=False), strict=True))
    except (UnreadableFile, DamagedStore, StopIteration, OSError, ValueError):
        return {}


def _computed(
    folder: Path, key: str, texts: Sequence[str], config: TextConfig, job: Job
) -> tuple[NDArray[np.float32], list[Path]]:
    """Embeddings of new sentences, (S, C), and the files in which finished blocks lie meanwhile."""
    blocks = [texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK)]
    encoder = load_text_encoder(config) if texts else None
    found: list[NDArray[np.float32]] = []
    parts: list[Path] = []
    for number, block in enumerate(blocks):
        job.step("Embedding sentences", number * _BLOCK, len(texts))
        digest = hashlib.sha256("\n".join(block).encode()).hexdigest()[:16]
        part = folder / EMBEDDINGS / PARTS / f"{key}-{digest}.npy"
        if not part.is_file():
            assert encoder is not None, "there are sentences to embed"
            with replacing(part) as temporary, temporary.open("wb") as file:
                np.save(file, encoder.encode(block).numpy())
        found.append(np.load(part, allow_pickle=False))
        parts.append(part)
    return np.concatenate([np.empty((0, config.dim), np.float32), *found]), parts


def _as_npy(rows: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()
