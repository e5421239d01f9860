"""Images cut into patches, and put together again."""

from __future__ import annotations

import torch
from torch import Tensor

Triple = tuple[int, int, int]


def patchify(images_B1HWD: Tensor, patch: Triple) -> Tensor:
    """Cut images into patches, without copying voxels.

    Args:
        images_B1HWD: any shape that is a multiple of the patch.
        patch: voxels of one patch along x, y, z.

    Returns:
        (B, h, w, d, 1, ph, pw, pd) view: the patch grid, then the voxels of a patch.

    Raises:
        ValueError: not one channel, or a side that is not a multiple of the patch.
    """
    if images_B1HWD.ndim != 5 or images_B1HWD.shape[1] != 1:
        raise ValueError(f"Images must be (B, 1, H, W, D), not {tuple(images_B1HWD.shape)}.")
    batch, _, *sides = images_B1HWD.shape
    if any(side % p or side == 0 for side, p in zip(sides, patch, strict=True)):
        raise ValueError(f"An image of {tuple(sides)} voxels cannot be cut into patches of {patch}.")
    split = [n for side, p in zip(sides, patch, strict=True) for n in (side // p, p)]
    return images_B1HWD.reshape(batch, 1, *split).permute(0, 2, 4, 6, 1, 3, 5, 7)


def patch_vectors(images_B1HWD: Tensor, patch: Triple, dtype: torch.dtype | None = None) -> Tensor:
    """The voxels of every patch in a row, in one copy.

    Args:
        images_B1HWD: any shape that is a multiple of the patch.
        patch: voxels of one patch along x, y, z.
        dtype: of the result; the images' own if None.

    Returns:
        (B, N, ph·pw·pd): patches with z fastest, and inside a patch voxels with z fastest.
    """
    view = patchify(images_B1HWD, patch)
    copied = view.to(dtype or images_B1HWD.dtype, memory_format=torch.contiguous_format)
    return copied.reshape(view.shape[0], -1, patch[0] * patch[1] * patch[2])


def unpatchify(patches_BNP: Tensor, grid: Triple, patch: Triple) -> Tensor:
    """The inverse of `patch_vectors`: (B, N, ph·pw·pd) → (B, 1, H, W, D)."""
    batch = patches_BNP.shape[0]
    sides = [n * p for n, p in zip(grid, patch, strict=True)]
    return patches_BNP.reshape(batch, *grid, 1, *patch).permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(batch, 1, *sides)


def coarser_embedding(weight_C1HWD: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """The patch embedding for patches of the same size in millimetres but fewer voxels.

    Each coarse voxel stands for a block of fine ones of its own value, so its weight is the sum of theirs: what is
    constant over such blocks is embedded as before. A weight whose patch is no multiple of `patch` comes back as it is.
    """
    factors = [n // p for n, p in zip(weight_C1HWD.shape[2:], patch, strict=True)]
    if [p * f for p, f in zip(patch, factors, strict=True)] != list(weight_C1HWD.shape[2:]):
        return weight_C1HWD
    blocks = [size for p, f in zip(patch, factors, strict=True) for size in (p, f)]
    return weight_C1HWD.reshape(*weight_C1HWD.shape[:2], *blocks).sum(dim=(3, 5, 7))
