"""Every figure of one sentence, for the model and for each control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.heatmap import Heatmap
from simcrop_training.evaluate.grounding import auroc
from simcrop_training.evaluate.grounding_benchmark import metrics
from simcrop_training.evaluate.grounding_benchmark.controls import MODEL, Guess, pointing, unseeing
from simcrop_training.evaluate.grounding_benchmark.encoded import Answer, EncodedScan, Patches
from simcrop_training.evaluate.grounding_benchmark.masks import Region

# Columns of means; the counts of instances are pooled.
MEANS = ("dice", "hit", "touch", "dice_at_size", "pointing", "side", "auroc", "distance_mm", "slice_mm")
COUNTS = ("found", "invented", "missed")
SIZES = ("< 1 ml", "1–10 ml", "> 10 ml")
_NAN = float("nan")
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """One sentence.

    Attributes:
        text: the sentence.
        kind: of finding.
        ml: volume of its mask; 0 where that is empty.
        evidence: as in the contract.
        answered: whether the engine gives a map.
        outside: no voxel of the mask is in a patch: the model cannot see it.
        silent: nothing is drawn for it.
        rows: the figures of the model and of each control; none where the mask is empty.
    """

    text: str
    kind: str
    ml: float
    evidence: str | None
    answered: bool
    outside: bool
    silent: bool
    rows: dict[str, Figures]

    @property
    def size(self) -> str:
        """Which third of `SIZES`."""
        return SIZES[0] if self.ml < 1 else SIZES[1] if self.ml <= 10 else SIZES[2]


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """A mask by patches."""

    region: Region
    counts_N: NDArray[np.int64]
    away_N: NDArray[np.float64]
    slices_N: NDArray[np.float64]
    voxels_N: NDArray[np.int64]
    voxels: int


def measured(
    scan: EncodedScan, regions: list[Region], kinds: list[str], others: list[dict[str, Guess]], lowest: float
) -> list[Measured]:
    """Every sentence of a scan.

    Args:
        scan: what the model says.
        regions: the mask of each sentence.
        kinds: of finding, of each.
        others: the guesses that come from other scans, of each.
        lowest: cosine from which the weights' heatmaps are drawn.
    """
    unsighted = unseeing(scan.patches)
    return [
        _measured(scan, row, region, kind, {**unsighted, **guesses}, lowest)
        for row, (region, kind, guesses) in enumerate(zip(regions, kinds, others, strict=True))
    ]


def _measured(
    scan: EncodedScan, row: int, region: Region, kind: str, guesses: Mapping[str, Guess], lowest: float
) -> Measured:
    patches, answer = scan.patches, scan.answers[row]
    drawn = _drawn(scan, row, region, lowest)
    if not region.voxels.any():
        return Measured(answer.text, kind, 0.0, answer.evidence, answer.answered, True, not drawn.any(), {})
    truth = _truth(region, patches)
    ours = pointing(scan.maps_SN[row], patches.within_N)
    rows = {MODEL: _of_model(ours, drawn, truth, patches, answer)}
    size = int(drawn.sum())
    rows |= {name: _of_guess(guess, size, truth, patches, answer) for name, guess in guesses.items()}
    outside = not truth.counts_N.any()
    return Measured(answer.text, kind, region.ml, answer.evidence, answer.answered, outside, size == 0, rows)


def _drawn(scan: EncodedScan, row: int, region: Region, lowest: float) -> NDArray[np.bool_]:
    """What the engine draws, on the grid of the mask."""
    if not scan.answers[row].drawn:
        return np.zeros(region.voxels.shape, dtype=bool)
    drawn: NDArray[np.bool_] = _heat(scan.maps_SN[row], scan.patches, region) >= lowest
    return drawn


def _heat(map_N: NDArray[np.float32], patches: Patches, region: Region) -> NDArray[np.float32]:
    return metrics.voxel_heat(Heatmap(map_N.reshape(patches.grid), patches.affine, ""), region)


def _truth(region: Region, patches: Patches) -> _Truth:
    centres = patches.centres_N3
    return _Truth(
        region,
        metrics.patch_counts(region, patches.affine, patches.grid),
        metrics.distances_mm(centres, region),
        metrics.slice_errors_mm(centres, region),
        metrics.grid_counts(region, patches.affine, patches.grid),
        int(region.voxels.sum()),
    )


def _of_model(guess: Guess, drawn: NDArray[np.bool_], truth: _Truth, patches: Patches, answer: Answer) -> Figures:
    figures = _regional(metrics.overlap(drawn, truth.region.voxels), metrics.instances(drawn, truth.region.voxels))
    if not answer.answered:
        return figures | {"dice_at_size": 0.0} | _pointed(guess, truth, patches, answer)
    at_size = metrics.highest(_heat(guess.ranking_N, patches, truth.region), truth.voxels)
    figures["dice_at_size"] = metrics.overlap(at_size, truth.region.voxels).dice
    return figures | _pointed(guess, truth, patches, answer)


def _of_guess(guess: Guess, size: int, truth: _Truth, patches: Patches, answer: Answer) -> Figures:
    """A control is given as many voxels as the model drew."""
    if guess.pool_N is not None:
        inside, pool = int(truth.counts_N[guess.pool_N].sum()), int(truth.voxels_N[guess.pool_N].sum())
        figures = _regional(metrics.random_overlap(size, inside, pool, truth.voxels), None)
        figures["dice_at_size"] = metrics.random_overlap(truth.voxels, inside, pool, truth.voxels).dice
    else:
        heat, true = _heat(guess.ranking_N, patches, truth.region), truth.region.voxels
        chosen = metrics.highest(heat, size)
        figures = _regional(metrics.overlap(chosen, true), metrics.instances(chosen, true))
        figures["dice_at_size"] = metrics.overlap(metrics.highest(heat, truth.voxels), true).dice
    return figures | _pointed(guess, truth, patches, answer, unanswered_hits=True)


def _regional(overlap: metrics.Overlap, parts: metrics.Instances | None) -> Figures:
    figures = {"dice": overlap.dice, "hit": overlap.hit, "touch": overlap.touch}
    if parts is None:
        return figures | dict.fromkeys(COUNTS, _NAN)
    return figures | {"found": parts.found, "invented": parts.invented, "missed": parts.missed}


def _pointed(
    guess: Guess, truth: _Truth, patches: Patches, answer: Answer, *, unanswered_hits: bool = False
) -> Figures:
    """What the peak says, on average over where it may be; of the sentences with an answer, distances and areas."""
    there_N, peaks_N = truth.counts_N > 0, guess.peaks_N
    points = 1.0 if answer.answered or unanswered_hits else 0.0
    side = _NAN
    if answer.side in ("left", "right"):
        side = points * float(peaks_N @ (patches.left_N == (answer.side == "left")))
    figures = {"pointing": points * float(peaks_N @ there_N), "side": side}
    if not answer.answered:
        return figures | {"auroc": _NAN, "distance_mm": _NAN, "slice_mm": _NAN}
    within_N = patches.within_N
    return figures | {
        "auroc": auroc(guess.ranking_N[within_N], there_N[within_N]),
        "distance_mm": float(peaks_N @ truth.away_N),
        "slice_mm": float(peaks_N @ truth.slices_N),
    }
