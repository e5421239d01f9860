"""One training sample in the model frame: voxels, organ labels, sentences, and where each sentence is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.structures import CHEST_LABELS
from simcrop_core.phantom.truth import LABELS, LOBES, ORGANS, Statement
from simcrop_core.text.sentences import split_sentences

SHAPE = FrameConfig().shape
# Those of the segmentation network, then the sides of which a scan may know no more than that they are lung.
SAMPLE_LABELS = (*CHEST_LABELS, "left lung", "right lung")
# Truth is kept as how much of each 6 mm cell a sentence covers: fine enough for 24 mm patches, and light.
CELL = (4, 4, 2)
CELLS = (SHAPE[0] // CELL[0], SHAPE[1] // CELL[1], SHAPE[2] // CELL[2])
CELL_VOXELS = CELL[0] * CELL[1] * CELL[2]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One sentence and the cells it covers.

    Attributes:
        text: the sentence.
        polarity: as in `simcrop_core.phantom.truth.Statement`.
        topic: the finding's kind or the organ's name.
        side: "left", "right" or "".
        lobe: such as "left lower lobe", or "".
        cells: (n,) flat indices into the 56 × 56 × 56 cells of a frame.
        counts: (n,) voxels covered in each, 1…32.
        size_mm: largest diameter of a focal lesion, else 0.
    """

    text: str
    polarity: str
    topic: str
    side: str
    lobe: str
    cells: NDArray[np.int32]
    counts: NDArray[np.uint8]
    size_mm: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A frame and everything known about it.

    Attributes:
        image: (224, 224, 112) int16 HU.
        labels: uint8, indices of `SAMPLE_LABELS`.
        known: labels that were looked for; others lie hidden in other tissue, or in the background where that was not.
        truths: sentences.
        report: findings and impression as text; empty where nobody wrote one.
    """

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    known: tuple[int, ...]
    truths: tuple[Truth, ...]
    report: str = ""


def sample_labels(labels: NDArray[np.uint8], lobes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A phantom's labels (indices of `LABELS`) and lobes (of `LOBES`) as one map; a lung without lobe is a side."""
    by_label = np.array([SAMPLE_LABELS.index(name) for name in LABELS], np.uint8)
    by_lobe = np.array([0, *(SAMPLE_LABELS.index(name) for name in LOBES[1:])], np.uint8)
    return np.where(lobes > 0, by_lobe[lobes], by_label[labels])


def known_labels(*names: str) -> tuple[int, ...]:
    """The values of labels by name."""
    return tuple(SAMPLE_LABELS.index(name) for name in names)


def truth_of(statement: Statement) -> Truth:
    """A statement's voxels as cells."""
    s = statement
    x, y, z = np.unravel_index(s.voxels, SHAPE)
    flat = np.ravel_multi_index((x // CELL[0], y // CELL[1], z // CELL[2]), CELLS)
    covered = np.bincount(flat, minlength=1)
    cells = np.flatnonzero(covered).astype(np.int32)
    return Truth(s.text, s.polarity, s.topic, s.side, s.lobe, cells, covered[cells].astype(np.uint8), s.size_mm)


def save_sample(path: Path, sample: Sample) -> None:
    """Write a sample as one .npz file, whole or not at all."""
    meta = {
        "labels": SAMPLE_LABELS,
        "known": sample.known,
        "truths": [[t.text, t.polarity, t.topic, t.side, t.lobe, len(t.cells), t.size_mm] for t in sample.truths],
        "report": sample.report,
    }
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(
            file,
            image=sample.image,
            labels=sample.labels,
            cells=np.concatenate([np.zeros(0, np.int32), *(t.cells for t in sample.truths)]),
            counts=np.concatenate([np.zeros(0, np.uint8), *(t.counts for t in sample.truths)]),
            meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
        )
    temporary.replace(path)


def load_sample(path: Path) -> Sample:
    """Read what `save_sample` wrote."""
    with np.load(path) as stored:
        meta = json.loads(stored["meta"].tobytes())
        ends = np.cumsum([t[5] for t in meta["truths"]]).astype(int)
        cells, counts = (np.split(stored[name], ends)[:-1] for name in ("cells", "counts"))
        truths = tuple(
            Truth(t[0], t[1], t[2], t[3], t[4], c, n, t[6])
            for t, c, n in zip(meta["truths"], cells, counts, strict=True)
        )
        labels, known = _as_now(stored["labels"], tuple(meta["known"]), tuple(meta.get("labels", ORGANS)))
        return Sample(stored["image"], labels, known, truths, meta["report"])


def _as_now(
    labels: NDArray[np.uint8], known: tuple[int, ...], names: tuple[str, ...]
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Labels by the names they were stored with; samples of earlier versions have those of `ORGANS`."""
    if names == SAMPLE_LABELS:
        return labels, known
    values = known_labels(*names)
    return np.array(values, np.uint8)[labels], tuple(values[value] for value in known)


def report_of(path: Path) -> str:
    """The report of a stored sample, without its voxels."""
    with np.load(path) as stored:
        return str(json.loads(stored["meta"].tobytes())["report"])


def texts_of(path: Path) -> list[str]:
    """The sentences of a stored sample, those of its report among them, without its voxels."""
    with np.load(path) as stored:
        meta = json.loads(stored["meta"].tobytes())
    return [*(t[0] for t in meta["truths"]), *split_sentences(meta["report"])]


def sample_paths(folders: Sequence[Path]) -> list[Path]:
    """All samples of some folders, in the order of their names."""
    return [path for folder in folders for path in sorted(folder.glob("*.npz"))]
