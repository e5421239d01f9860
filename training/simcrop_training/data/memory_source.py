"""Stored samples averaged to a network's own frame once and kept in memory: for many short runs of small networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from simcrop_core.text.sentences import split_sentences
from simcrop_training.data.organs import Organs, coarse_labels
from simcrop_training.data.sample import SAMPLE_LABELS, Sample, load_sample
from simcrop_training.data.source import Pair, draws, epoch_order, evenly_spread, with_reports


def coarse_image(image: NDArray[np.int16], shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """(H, W, D) int16 HU averaged over blocks, of which there are `shape` in the image.

    One layer of blocks at a time: a float copy of a whole image for every sample, freed among small arrays that stay,
    leaves holes on the heap that no later copy fits into, some 20 MB a sample.
    """
    coarse = np.empty(shape, np.int16)
    thickness = image.shape[0] // shape[0]
    for x, averaged in enumerate(coarse):
        layer = torch.from_numpy(image[x * thickness : (x + 1) * thickness])[None, None].float()
        averaged[:] = F.adaptive_avg_pool3d(layer, (1, *shape[1:]))[0, 0, 0].round().to(torch.int16).numpy()
    return coarse


class MemorySource:
    """A `Source` of samples with reports; frames differ between epochs by a shift of all intensities alone.

    Args:
        paths: of the samples; those without a sentence in their report are left out.
        embeddings: of every sentence in their reports, (C,).
        shape: voxels of the network's frame along x, y, z, dividing those of a stored sample.
        shift_hu: largest shift of all intensities.
        seed: of order and shifts.
        places: whether to keep where sentences are, which takes more room than the frames.

    Raises:
        NothingToLearnFrom: no sample has a report.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        embeddings: Mapping[str, NDArray[np.float32]],
        shape: tuple[int, int, int],
        shift_hu: float,
        seed: int,
        *,
        places: bool = False,
    ) -> None:
        self._places = places
        self._shape, self._shift_hu, self._seed, self._embeddings = shape, shift_hu, seed, embeddings
        self._kept = [self._pair(load_sample(path)) for path in with_reports(paths)]
        self.pairs = len(self._kept)
        self.pair_bytes = 2 * int(np.prod(shape))

    def pair(self, ordinal: int) -> Pair:
        """See `Source`."""
        epoch, place = divmod(ordinal, self.pairs)
        kept = self._kept[int(epoch_order((1,) * self.pairs, self._seed, epoch)[place])]
        shift = draws(self._seed, ordinal, 0).uniform(-self._shift_hu, self._shift_hu)
        return dataclasses.replace(kept, image=kept.image + np.int16(shift))

    def sentence_embeddings(self, limit: int) -> NDArray[np.float32]:
        """See `Source`."""
        texts = sorted({sentence for kept in self._kept for sentence in kept.sentences})
        return np.stack([self._embeddings[texts[i]] for i in evenly_spread(len(texts), limit)])

    def _pair(self, sample: Sample) -> Pair:
        sentences = tuple(split_sentences(sample.report))
        rows = np.stack([self._embeddings[sentence] for sentence in sentences])
        image = coarse_image(sample.image, self._shape)
        organs = Organs.whole(coarse_labels(sample.labels, self._shape), SAMPLE_LABELS) if sample.known else None
        return Pair(image, sentences, rows, sample.report, truths=sample.truths if self._places else (), organs=organs)
