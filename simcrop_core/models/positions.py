"""Fixed position tables: where a patch token stands in the grid of its frame."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_BASE = 10000.0

Grid = tuple[int, int, int]


def sincos3d(grid: Grid, dim: int, *, cls_row: bool = False) -> Tensor:
    """Sine and cosine of each of the three grid indices, in a sixth of the width each.

    The columns are sin x, cos x, sin y, cos y, sin z, cos z, with frequencies 10000^(−k / (dim / 6)); all rows differ
    (docs/methods/simcrop.md, A2).

    Args:
        grid: patches along x, y, z.
        dim: width of a token, a multiple of 6.
        cls_row: whether a row of zeros for the class token stands in front.

    Returns:
        (N, dim) or (1 + N, dim) float32; the index along z runs fastest.

    Raises:
        ValueError: the width is not a multiple of 6.
    """
    if dim % 6:
        raise ValueError(f"A three-axis position table needs a width that is a multiple of 6, not {dim}.")
    frequencies = _BASE ** (-np.arange(dim // 6) / (dim // 6))
    indices_N3 = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, 3)
    angles_N3F = indices_N3[:, :, None] * frequencies
    table_NC = np.stack([np.sin(angles_N3F), np.cos(angles_N3F)], axis=2).reshape(-1, dim)
    return _as_table(table_NC, cls_row)


def simcrop_official(grid: Grid, dim: int, *, cls_row: bool = False) -> Tensor:
    """The table of the released down-stream code: even columns sin of x, odd columns cos of y, z not used.

    Kept for the released weights' sake: a 14 × 14 × 14 grid has only 196 distinct rows (docs/methods/simcrop.md, A2).

    Args:
        grid: patches along x, y, z.
        dim: width of a token, even.
        cls_row: whether a row of zeros for the class token stands in front.

    Returns:
        (N, dim) or (1 + N, dim) float32; the index along z runs fastest.

    Raises:
        ValueError: the width is odd.
    """
    if dim % 2:
        raise ValueError(f"The released position table needs an even width, not {dim}.")
    nx, ny, nz = grid
    frequencies = _BASE ** (-np.arange(0, dim, 2) / dim)
    table_HWDC = np.empty((nx, ny, nz, dim))
    table_HWDC[..., 0::2] = np.sin(np.arange(nx)[:, None] * frequencies)[:, None, None, :]
    table_HWDC[..., 1::2] = np.cos(np.arange(ny)[:, None] * frequencies)[None, :, None, :]
    return _as_table(table_HWDC.reshape(-1, dim), cls_row)


def _as_table(table_NC: np.ndarray, cls_row: bool) -> Tensor:
    if cls_row:
        table_NC = np.concatenate([np.zeros((1, table_NC.shape[1])), table_NC])
    return torch.from_numpy(table_NC.astype(np.float32))
