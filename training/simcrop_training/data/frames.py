"""From stored samples to what a network is shown: which sample, which intensities, which patches a sentence claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from simcrop_training.data.sample import CELL_VOXELS, CELLS, Truth

# A region that fills a quarter of a patch claims it; of a small finding, half of its fullest patch's share does.
_CLAIMED = 0.25


def picked(
    ordinal: int,
    rng: np.random.Generator,
    *,
    synthetic: Sequence[Path],
    real: Sequence[Path],
    real_rate: float,
    seed: int,
) -> Path:
    """The sample of one place in the order of training: synthetic ones in a fresh order every pass, real now and then.

    Args:
        ordinal: of the sample among all that the run will see.
        rng: of this ordinal.
        synthetic: stored samples drawn from nothing.
        real: stored samples of real scans; may be empty.
        real_rate: share of real samples.
        seed: of the order.
    """
    if real and rng.random() < real_rate:
        return real[int(rng.integers(len(real)))]
    turn, place = divmod(ordinal, len(synthetic))
    order = np.random.default_rng([seed, 7, turn]).permutation(len(synthetic))
    return synthetic[int(order[place])]


def frames_of(images_BHWD: Tensor, hu_window: tuple[float, float], shape: tuple[int, int, int]) -> Tensor:
    """(B, 1, H, W, D) float32 in −1…1 out of stored images (int16 HU), averaged to `shape` where that is coarser."""
    low, high = hu_window
    frames = images_BHWD.float().sub_((low + high) / 2).div_((high - low) / 2).clamp_(-1, 1)[:, None]
    return frames if tuple(frames.shape[2:]) == shape else F.adaptive_avg_pool3d(frames, shape)


def intensities(image: NDArray[np.int16], hu_window: tuple[float, float], shape: tuple[int, int, int]) -> Tensor:
    """(1, H, W, D) float32 in −1…1 out of a stored image (HU), averaged to `shape` where that is coarser."""
    return frames_of(torch.from_numpy(image)[None], hu_window, shape)[0]


def patch_shares(truth: Truth, grid: tuple[int, int, int]) -> NDArray[np.float32]:
    """(N,) share 0…1 to which each patch of a grid belongs to a sentence; zeros for what is not there."""
    size = np.array(grid)
    at = np.stack(np.unravel_index(truth.cells, CELLS)) * size[:, None] // np.array(CELLS)[:, None]
    patches = np.ravel_multi_index(tuple(at), grid)
    covered = np.bincount(patches, weights=truth.counts, minlength=int(size.prod()))
    share = covered * size.prod() / (np.prod(CELLS) * CELL_VOXELS)
    claim = min(_CLAIMED, 0.5 * float(share.max()))
    claimed: NDArray[np.float32] = np.minimum(share / claim if claim > 0 else share, 1).astype(np.float32)
    return claimed
