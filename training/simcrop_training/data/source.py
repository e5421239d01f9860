"""Where pre-training's pairs of scan and report come from, and in which order."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simcrop_core.text.sentences import split_sentences
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.organs import Organs, organs_of_marks
from simcrop_training.data.sample import SAMPLE_LABELS, Truth, load_sample, report_of
from simcrop_training.engine.errors import NothingToLearnFrom


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One frame and its report.

    Attributes:
        image: (H, W, D) int16 HU, a frame of the model, or a multiple of it to be averaged.
        sentences: to be aligned.
        embeddings_SC: theirs, float32.
        findings: to be masked, and cut where the report is too long.
        impression: to be masked behind it.
        patient: who was scanned; empty where only the report tells.
        truths: where sentences are, in cells of the image; empty where nobody knows.
        organs: where organs are; None where nobody knows.
        study: the data set's key of the examination; empty where it has none.
    """

    image: NDArray[np.int16]
    sentences: tuple[str, ...]
    embeddings_SC: NDArray[np.float32]
    findings: str
    impression: str = ""
    patient: str = ""
    truths: tuple[Truth, ...] = ()
    organs: Organs | None = None
    study: str = ""


class Source(Protocol):
    """Pairs by their place in the order of training.

    Attributes:
        pairs: of an epoch.
        pair_bytes: read for one.
    """

    pairs: int
    pair_bytes: int

    def pair(self, ordinal: int) -> Pair:
        """The pair at a place of the run, cropped and changed: the same for the same place, in any thread."""

    def sentence_embeddings(self, limit: int) -> NDArray[np.float32]:
        """(M, C) embeddings of the sentences that it knows, each once; at most `limit`, evenly spread."""


@runtime_checkable
class Corpus(Protocol):
    """A `Source` that can say what is said in it without reading a scan."""

    def reports(self) -> Iterable[tuple[str, ...]]:
        """The sentences of every report, each report once, in a fixed order."""


def reports_in(source: Source) -> Iterable[tuple[str, ...]]:
    """The sentences of every report of a source; of one that is no `Corpus`, those of its first epoch's pairs."""
    if isinstance(source, Corpus):
        return source.reports()
    return (source.pair(ordinal).sentences for ordinal in range(source.pairs))


def draws(seed: int, ordinal: int, purpose: int) -> np.random.Generator:
    """The random numbers of one place in the run for one purpose."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, ordinal, purpose])))


def evenly_spread(count: int, limit: int) -> list[int]:
    """At most `limit` of the numbers below `count`."""
    kept = min(count, limit)
    return [i * count // kept for i in range(kept)]


@functools.lru_cache(maxsize=4)
def epoch_order(groups: tuple[int, ...], seed: int, epoch: int) -> NDArray[np.int64]:
    """A fresh order of an epoch: all volumes once, those of one study far from each other.

    The epoch goes in rounds: first one volume of every study, then a second of those that have two, and so on; in each
    round studies come in another order. So one batch hardly ever shows a report twice.

    Args:
        groups: volumes of each study.
        seed: of the run.
        epoch: number of the epoch.

    Returns:
        Indices of volumes, counted study by study.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, 7])))
    sizes = np.array(groups)
    firsts = np.cumsum(sizes) - sizes
    keys = rng.random(sizes.sum())
    # The rank of each volume inside its study, by random keys.
    study = np.repeat(np.arange(len(sizes)), sizes)
    by_study = np.lexsort((keys, study))
    turn = np.empty(len(study), np.int64)
    turn[by_study] = np.arange(len(study)) - firsts[study[by_study]]
    order: NDArray[np.int64] = np.lexsort((rng.random(len(study)), turn)).astype(np.int64)
    return order


def with_reports(paths: Sequence[Path]) -> list[Path]:
    """The stored samples whose report has a sentence.

    Raises:
        NothingToLearnFrom: there is none.
    """
    kept = [path for path in paths if split_sentences(report_of(path))]
    if not kept:
        where = f", such as {paths[0]}," if paths else ""
        raise NothingToLearnFrom(
            f"None of {len(paths)} samples{where} has a report, and this method learns from reports.",
            hint="Give phantoms (simcrop-train phantoms writes a report for each); grounding and segmentation do "
            "without reports.",
        )
    return kept


class SampleSource:
    """Stored samples with reports (`sample.py`), shifted and changed as `augment` does.

    Args:
        paths: of the samples; those without a sentence in their report are left out.
        embeddings: of every sentence in their reports, (C,).
        augmentation: how strongly they are changed.
        seed: of order and changes.

    Raises:
        NothingToLearnFrom: no sample has a report.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        embeddings: Mapping[str, NDArray[np.float32]],
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._paths, self._embeddings, self._augmentation, self._seed = (
            with_reports(paths),
            embeddings,
            augmentation,
            seed,
        )
        self.pairs = len(self._paths)
        self.pair_bytes = self._paths[0].stat().st_size

    def pair(self, ordinal: int) -> Pair:
        """See `Source`."""
        epoch, place = divmod(ordinal, self.pairs)
        path = self._paths[int(epoch_order((1,) * self.pairs, self._seed, epoch)[place])]
        stored = load_sample(path)
        # Zero is where the change shows nothing at all, one is the background.
        marked = dataclasses.replace(stored, labels=stored.labels + np.uint8(1))
        sample = augmented(marked, self._augmentation, draws(self._seed, ordinal, 0))
        organs = organs_of_marks(sample.labels, SAMPLE_LABELS) if sample.known else None
        sentences = tuple(split_sentences(sample.report))
        embeddings_SC = np.stack([self._embeddings[s] for s in sentences])
        return Pair(sample.image, sentences, embeddings_SC, sample.report, truths=sample.truths, organs=organs)

    def reports(self) -> Iterable[tuple[str, ...]]:
        """See `Corpus`."""
        return (tuple(split_sentences(report_of(path))) for path in self._paths)

    def sentence_embeddings(self, limit: int) -> NDArray[np.float32]:
        """See `Source`."""
        texts = sorted({sentence for report in self.reports() for sentence in report})
        return np.stack([self._embeddings[texts[i]] for i in evenly_spread(len(texts), limit)])
