"""Where pre-training's pairs of scan and report come from, and in which order."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simcrop_core.text.sentences import split_sentences
from simcrop_training.data.augment import Augmentation, augmented
from simcrop_training.data.sample import load_sample


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One frame and its report.

    Attributes:
        image: (H, W, D) int16 HU, a frame of the model, or a multiple of it to be averaged.
        sentences: to be aligned.
        embeddings_SC: theirs, float32.
        findings: to be masked, and cut where the report is too long.
        impression: to be masked behind it.
    """

    image: NDArray[np.int16]
    sentences: tuple[str, ...]
    embeddings_SC: NDArray[np.float32]
    findings: str
    impression: str = ""


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


def draws(seed: int, ordinal: int, purpose: int) -> np.random.Generator:
    """The random numbers of one place in the run for one purpose."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, ordinal, purpose])))


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


class SampleSource:
    """Stored samples with reports (`sample.py`), shifted and changed as `augment` does.

    Args:
        paths: of the samples.
        embeddings: of every sentence in their reports, (C,).
        augmentation: how strongly they are changed.
        seed: of order and changes.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        embeddings: Mapping[str, NDArray[np.float32]],
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._paths, self._embeddings, self._augmentation, self._seed = list(paths), embeddings, augmentation, seed
        self.pairs = len(self._paths)
        self.pair_bytes = self._paths[0].stat().st_size

    def pair(self, ordinal: int) -> Pair:
        """See `Source`."""
        epoch, place = divmod(ordinal, self.pairs)
        path = self._paths[int(epoch_order((1,) * self.pairs, self._seed, epoch)[place])]
        sample = augmented(load_sample(path), self._augmentation, draws(self._seed, ordinal, 0))
        sentences = tuple(split_sentences(sample.report))
        return Pair(sample.image, sentences, np.stack([self._embeddings[s] for s in sentences]), sample.report)
