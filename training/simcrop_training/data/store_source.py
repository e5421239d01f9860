"""Pairs of scan and report out of a training store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simcrop_core.models.config import TextConfig
from simcrop_training.data.source import Pair, draws, epoch_order, evenly_spread
from simcrop_training.engine.errors import NoOrganMaps, NothingToLearnFrom
from simcrop_training.store.records import Study, Triple, Volume
from simcrop_training.store.store import Store


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How a frame is cut out of a stored scan.

    Attributes:
        jitter: farthest a crop lies from the frame centred on the lungs, in voxels along x, y, z.
        shift_hu: largest shift of all intensities (A26); frames are never flipped, because reports say left and right.
        unit: what an epoch shows once: every volume, or one volume of every study, drawn at random (A28).
    """

    jitter: Triple = (16, 16, 8)
    shift_hu: float = 20.0
    unit: Literal["volume", "study"] = "volume"


class StoreSource:
    """The scans of one split of a store, cropped at random; whatever is random follows from (seed, ordinal).

    Args:
        store: that was opened.
        text: the text encoder whose sentence embeddings are wanted.
        split: of the studies.
        seed: of order, crops and shifts.
        crop: how frames are cut.
        limit: so many scans at most, evenly spread; None takes all.
        organs: whether pairs have label maps; then scans without one are passed over.

    Raises:
        NothingToLearnFrom: the split has no studies.
        NoOrganMaps: none of its scans has a label map, but they are wanted.
        UnknownWeights: the store has no embeddings by this encoder.
    """

    def __init__(
        self,
        store: Store,
        text: TextConfig,
        *,
        split: str,
        seed: int,
        crop: CropSettings | None = None,
        limit: int | None = None,
        organs: bool = False,
    ) -> None:
        studies = [study for study in store.studies if study.split == split]
        if organs and studies:
            studies = _with_organs(store, studies)
        if limit is not None and limit < len(studies):
            studies = [studies[i * len(studies) // limit] for i in range(limit)]
        if not studies:
            raise NothingToLearnFrom(
                f"The store {store.folder} has no studies of the split {split!r}.",
                hint="The split stands in the data set's tables; simcrop-prepare takes it over.",
            )
        self._store, self._seed, self._crop, self._organs = store, seed, crop or CropSettings(), organs
        self._embeddings = store.embeddings(text)
        self._studies = studies
        self._groups = tuple(len(study.volumes) for study in studies)
        self._of_volume = [(s, v) for s, study in enumerate(studies) for v in range(len(study.volumes))]
        by_volume = self._crop.unit == "volume"
        self.pairs = len(self._of_volume) if by_volume else len(studies)
        self.pair_bytes = 2 * int(np.prod(store.frame.shape))

    def pair(self, ordinal: int) -> Pair:
        """See `Source`."""
        epoch, place = divmod(ordinal, self.pairs)
        index, turn = self._of_volume[int(epoch_order(self._groups, self._seed, epoch)[place])]
        study = self._studies[index]
        rng = draws(self._seed, ordinal, 0)
        volume = study.volumes[turn]
        start, shape = self._start(volume, rng), self._store.frame.shape
        image = self._store.crop(volume, start, shape)
        image += np.int16(rng.uniform(-self._crop.shift_hu, self._crop.shift_hu))
        said = [sentence for sentence in study.sentences if sentence.section == "findings"]
        return Pair(
            image,
            tuple(sentence.text for sentence in said),
            np.asarray(self._embeddings[[sentence.row for sentence in said]], dtype=np.float32),
            study.findings,
            study.impression,
            study.patient,
            organs=self._store.organs(volume, start, shape) if self._organs else None,
            study=study.key,
        )

    def sentence_embeddings(self, limit: int) -> NDArray[np.float32]:
        """See `Source`; sentences of the split's findings."""
        said = (sentence for study in self._studies for sentence in study.sentences)
        rows = sorted({sentence.row for sentence in said if sentence.section == "findings"})
        return np.asarray(self._embeddings[[rows[i] for i in evenly_spread(len(rows), limit)]], dtype=np.float32)

    def reports(self) -> Iterable[tuple[str, ...]]:
        """See `Corpus`: the findings of every study, however many scans it has."""
        return (tuple(s.text for s in study.sentences if s.section == "findings") for study in self._studies)

    def _start(self, volume: Volume, rng: np.random.Generator) -> Triple:
        """Where a frame starts at random around the centred one, as far as the scan was stored."""
        shape = self._store.frame.shape
        start = []
        for first, size, stored, jitter in zip(volume.frame_start, shape, volume.shape, self._crop.jitter, strict=True):
            low = max(first - jitter, min(0, first))
            high = min(first + jitter, max(stored - size, first))
            start.append(int(rng.integers(low, high + 1)))
        return start[0], start[1], start[2]


def _with_organs(store: Store, studies: Sequence[Study]) -> list[Study]:
    """The studies with those of their scans that have a label map.

    Raises:
        NoOrganMaps: there is none.
    """
    kept = [
        dataclasses.replace(study, volumes=tuple(volume for volume in study.volumes if volume.organs is not None))
        for study in studies
    ]
    if not any(study.volumes for study in kept):
        raise NoOrganMaps(
            f"This method compares organs, and no scan of the store {store.folder} has a label map of them.",
            hint="Put TotalSegmentator's label maps where simcrop-prepare looks for them (docs/training-data.md) and "
            "run it again: for CT-RATE dataset/ts_seg/ts_total, for a table of your own its column `organs`.",
        )
    return [study for study in kept if study.volumes]
