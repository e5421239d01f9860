"""Guesses that do not look at the scan, do not read the sentence, or look at somebody else's scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_training.evaluate.grounding_benchmark.encoded import EncodedScan, Patches, load_encoded

MODEL = "model"
CHANCE, CENTRE, LUNGS, TEXT_ONLY, SWAPPED = "chance", "centre", "lungs", "text only", "swapped scan"
CONTROLS = (CHANCE, CENTRE, LUNGS, TEXT_ONLY, SWAPPED)
Grid = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """Where a finding is said to be.

    Attributes:
        peaks_N: how likely each patch is to be pointed at; sums to 1. A model's answer has one patch.
        map_N: by which patches are ranked and voxels chosen; None where the guess is a random order of its patches.
        pool_N: patches that a random order draws voxels from; None where there is a map.
    """

    peaks_N: NDArray[np.float64]
    map_N: NDArray[np.float32] | None = None
    pool_N: NDArray[np.bool_] | None = None

    @property
    def ranking_N(self) -> NDArray[np.float32]:
        """What patches are ranked by: the map, or the pool before the rest."""
        if self.map_N is not None:
            return self.map_N
        assert self.pool_N is not None
        return self.pool_N.astype(np.float32)


def pointing(map_N: NDArray[np.float32], within_N: NDArray[np.bool_]) -> Guess:
    """The answer of a map: its highest patch within the scan, the first of equals."""
    map_N = np.where(within_N, map_N, -1.0).astype(np.float32)
    peaks_N = np.zeros(len(map_N))
    peaks_N[map_N.argmax()] = 1.0
    return Guess(peaks_N, map_N)


def unseeing(patches: Patches) -> dict[str, Guess]:
    """The guesses that need no other scan; without lungs there is none of them."""
    guesses = {CHANCE: _anywhere(patches.within_N), CENTRE: _centre(patches)}
    if patches.lung_N.any():
        guesses[LUNGS] = _anywhere(patches.lung_N)
    return guesses


def _anywhere(pool_N: NDArray[np.bool_]) -> Guess:
    return Guess(pool_N / pool_N.sum(), pool_N=pool_N)


def _centre(patches: Patches) -> Guess:
    """The patches nearest to the frame's middle, in equal parts; others by how near they are."""
    index = np.stack(np.unravel_index(np.arange(patches.within_N.size), patches.grid), axis=-1)
    middle = (np.asarray(patches.grid) - 1) / 2
    away_N = np.linalg.norm((index - middle) @ patches.affine[:3, :3].T, axis=1)
    away_N = np.where(patches.within_N, away_N, np.inf)
    nearest_N = np.isclose(away_N, away_N.min())
    # On a cosine's scale: 0 in the middle, above −1 everywhere within the scan.
    map_N = np.where(patches.within_N, -away_N / (1 + np.max(away_N[patches.within_N])), -1.0)
    return Guess(nearest_N / nearest_N.sum(), map_N.astype(np.float32))


@dataclass
class Others:
    """What the scans of other patients would answer.

    Args:
        files: the encoded scan of each name, in order.
        patients: whose each is.
    """

    files: Mapping[str, Path]
    patients: Mapping[str, str]
    _sums: dict[Grid, tuple[NDArray[np.float64], int]] = field(default_factory=dict, init=False)
    _grids: dict[str, Grid] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name, path in self.files.items():
            scan = load_encoded(path)
            grid = self._grids[name] = scan.patches.grid
            total, count = self._sums.get(grid, (np.zeros(scan.features_NC.shape), 0))
            self._sums[grid] = total + scan.features_NC, count + 1

    def guesses(self, name: str, scan: EncodedScan) -> list[dict[str, Guess]]:
        """By sentence of a scan; without a scan of another patient with as many patches there is none."""
        grid, within_N = scan.patches.grid, scan.patches.within_N
        same = [
            other for other in self.files if self._grids[other] == grid and self.patients[other] == self.patients[name]
        ]
        total, count = self._sums[grid]
        if count == len(same):
            return [{} for _ in scan.answers]
        mean_NC = (total - sum(load_encoded(self.files[other]).features_NC for other in same)) / (count - len(same))
        swapped = load_encoded(self.files[self.partner(name, grid)])
        return [
            {
                TEXT_ONLY: pointing((mean_NC @ sentence_C).astype(np.float32), within_N),
                SWAPPED: pointing(swapped.features_NC @ sentence_C, within_N),
            }
            for sentence_C in scan.embeddings_SC
        ]

    def partner(self, name: str, grid: Grid) -> str:
        """The next scan in order, of another patient, with as many patches."""
        names = list(self.files)
        at = names.index(name)
        return next(
            other
            for other in (*names[at + 1 :], *names[:at])
            if self._grids[other] == grid and self.patients[other] != self.patients[name]
        )


def partners(names: Sequence[str], patients: Mapping[str, str]) -> dict[str, str | None]:
    """Of every scan the next one of another patient; None where there is nobody else."""
    found: dict[str, str | None] = {}
    for at, name in enumerate(names):
        rest = (*names[at + 1 :], *names[:at])
        found[name] = next((other for other in rest if patients[other] != patients[name]), None)
    return found
